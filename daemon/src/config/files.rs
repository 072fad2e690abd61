//! The rule files that a configuration names: found and read before anything in them is understood.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::error::Mistake;
use crate::readable;

/// Rule files that are read.
const MOST_FILES: usize = 64;

/// A file as it was read.
pub(super) struct RuleText {
    pub(super) name: String,
    pub(super) text: String,
}

/// What `rules` names.
#[derive(Default)]
pub(super) struct RuleFiles {
    /// In the order of `rules`, and of their names where a pattern names several.
    pub(super) texts: Vec<RuleText>,
    /// What cannot be read, by the position in `rules`.
    pub(super) problems: Vec<(usize, Mistake)>,
}

impl RuleFiles {
    /// Reads the files that a configuration names; relative names are beside it.
    pub(super) fn of(configuration: &str, directory: &Path) -> Self {
        let (document, _) = DeTable::parse_recoverable(configuration);
        let mut files = Self::default();
        let Some(patterns) = document
            .get_ref()
            .get("rules")
            .and_then(|rules| rules.get_ref().as_array())
        else {
            return files;
        };
        for (index, pattern) in patterns.iter().enumerate() {
            let Some(pattern) = pattern.get_ref().as_str() else {
                continue;
            };
            if let Err(mistake) = files.add(&directory.join(pattern)) {
                files.problems.push((index, mistake));
            }
        }
        files
    }

    fn add(&mut self, pattern: &Path) -> Result<(), Mistake> {
        let cannot = |path: &Path, error: &io::Error| {
            let mistake = Mistake::new(format!("{} cannot be read: {error}", path.display()));
            mistake.hint(readable::hint(error.kind()))
        };
        for path in matching(pattern).map_err(|error| cannot(pattern, &error))? {
            if self.texts.len() == MOST_FILES {
                return Err(Mistake::new(format!("at most {MOST_FILES} files are read")));
            }
            let text = fs::read_to_string(&path).map_err(|error| cannot(&path, &error))?;
            let name = path.display().to_string();
            self.texts.push(RuleText { name, text });
        }
        Ok(())
    }
}

/// The files of a pattern, by name. `*` stands for anything in the name of the file itself.
fn matching(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((before, after)) = name.split_once('*') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_long_enough = name.len() >= before.len() + after.len();
        is_long_enough && name.starts_with(before) && name.ends_with(after) && !name.starts_with('.')
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(pattern.parent().unwrap_or(Path::new(".")))? {
        found.push(entry?.path());
    }
    found.retain(fits);
    found.sort();
    Ok(found)
}
