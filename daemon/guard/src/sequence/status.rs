//! Sets of HTTP status codes: `2xx`, `200|204`, `2xx|404`, `any`.

use std::fmt;

/// Status codes that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatusSet {
    classes: [bool; 6],
    codes: Vec<u16>,
}

impl StatusSet {
    /// Every answer.
    pub(super) fn any() -> Self {
        Self {
            classes: [true; 6],
            codes: Vec::new(),
        }
    }

    /// The answers that mean success.
    pub(super) fn success() -> Self {
        let mut set = Self {
            classes: [false; 6],
            codes: Vec::new(),
        };
        set.classes[2] = true;
        set
    }

    /// Reads a set; `None` if the text is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "any" {
            return Some(Self::any());
        }
        let mut set = Self {
            classes: [false; 6],
            codes: Vec::new(),
        };
        for item in text.split('|').map(str::trim) {
            if !item.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return None;
            }
            let class = item.strip_suffix("xx").and_then(|class| class.parse::<usize>().ok());
            match (class, item.parse::<u16>()) {
                (Some(class @ 1..=5), _) => set.classes[class] = true,
                (None, Ok(code @ 100..=599)) => set.codes.push(code),
                _ => return None,
            }
        }
        Some(set)
    }

    pub(super) fn contains(&self, status: u16) -> bool {
        self.is_any()
            || self.classes.get(usize::from(status / 100)).copied().unwrap_or(false)
            || self.codes.contains(&status)
    }

    /// Whether every answer is in it.
    pub(super) fn is_any(&self) -> bool {
        self.classes == [true; 6]
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("anything");
        }
        let classes = self
            .classes
            .iter()
            .enumerate()
            .filter(|(_, on)| **on)
            .map(|(class, _)| format!("{class}xx"));
        let items: Vec<String> = classes.chain(self.codes.iter().map(u16::to_string)).collect();
        f.write_str(&items.join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_back_and_contain_what_they_say() {
        for (text, inside, outside) in [
            ("2xx", &[200, 204, 299][..], &[100, 199, 300, 404][..]),
            ("201", &[201], &[200, 202]),
            ("2xx|404", &[200, 404], &[403]),
            ("any", &[100, 200, 599, 700], &[]),
        ] {
            let set = StatusSet::parse(text).unwrap();
            assert!(inside.iter().all(|code| set.contains(*code)), "{text}");
            assert!(!outside.iter().any(|code| set.contains(*code)), "{text}");
        }
        assert_eq!(StatusSet::parse("404 | 2xx").unwrap().to_string(), "2xx|404");
        for text in ["", "ok", "0xx", "6xx", "20", "600", "2xx,3xx", "2xx|", "+2xx", "+200"] {
            assert!(StatusSet::parse(text).is_none(), "{text}");
        }
    }
}
