//! What searches begin with: the fields and requests of `tests/vectors/profile.json`, good ones and bad ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::paths;

/// Writes the seeds of a target; none for one that the vectors say nothing to.
pub(super) fn write(target: &str, folder: &Path) -> Result<()> {
    for (number, seed) in seeds(target)?.into_iter().enumerate() {
        let path = folder.join(format!("vector-{number}"));
        fs::write(&path, seed).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

fn seeds(target: &str) -> Result<Vec<String>> {
    let requests = requests()?;
    let values = |name: &str| -> Vec<String> {
        let all = requests.iter().flat_map(fields);
        all.filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    };
    Ok(match target {
        "signature_input" => values("Signature-Input"),
        "signature" => values("Signature")
            .iter()
            .map(|value| value.replacen("portcullis=", "p=", 1))
            .collect(),
        "content_digest" => values("Content-Digest")
            .iter()
            .map(|value| format!("{value}\n"))
            .collect(),
        "base" => requests.iter().map(head).collect(),
        _ => Vec::new(),
    })
}

fn requests() -> Result<Vec<Value>> {
    let path = paths::root().join("tests/vectors/profile.json");
    let text = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let vectors: Value =
        serde_json::from_slice(&text).with_context(|| format!("failed to parse {}", path.display()))?;
    let vectors = vectors["vectors"].as_array().context("profile.json has no vectors")?;
    Ok(vectors.iter().map(|vector| vector["request"].clone()).collect())
}

fn fields(request: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pairs = request["headers"].as_array().into_iter().flatten();
    pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn head(request: &Value) -> String {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let lines = fields(request)
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}\n"));
    format!("{} {}\n{}", text("method"), text("target"), lines.collect::<String>())
}
