//! Structured fields back into text (RFC 8941 section 4.1): the one spelling of what was parsed.

use super::base64;
use super::fields::{Bare, Parameters};

/// An inner list with its parameters.
#[must_use]
pub fn inner_list(items: &[(Bare, Parameters)], parameters: &Parameters) -> String {
    let items: Vec<String> = items
        .iter()
        .map(|(item, own)| format!("{}{}", bare(item), all(own)))
        .collect();
    format!("({}){}", items.join(" "), all(parameters))
}

fn all(parameters: &Parameters) -> String {
    let one = |(name, value): &(String, Bare)| {
        if *value == Bare::Boolean(true) {
            format!(";{name}")
        } else {
            format!(";{name}={}", bare(value))
        }
    };
    parameters.iter().map(one).collect()
}

fn bare(item: &Bare) -> String {
    match item {
        Bare::Integer(value) => value.to_string(),
        Bare::Decimal(thousandths) => decimal(*thousandths),
        Bare::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Bare::Token(text) => text.clone(),
        Bare::Bytes(bytes) => format!(":{}:", base64::encode(base64::STANDARD, bytes)),
        Bare::Boolean(value) => format!("?{}", u8::from(*value)),
        Bare::Date(seconds) => format!("@{seconds}"),
        Bare::Display(text) => format!("%\"{}\"", text.bytes().map(displayed).collect::<String>()),
    }
}

fn decimal(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let fraction = format!("{:03}", thousandths.unsigned_abs() % 1000);
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    format!("{sign}{}.{fraction}", thousandths.unsigned_abs() / 1000)
}

fn displayed(byte: u8) -> String {
    match byte {
        b'%' | b'"' | 0x00..=0x1f | 0x7f..=0xff => format!("%{byte:02x}"),
        byte => char::from(byte).to_string(),
    }
}
