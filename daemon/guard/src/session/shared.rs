//! Texts that many sessions share, User-Agents above all, kept once.

use std::sync::Arc;

use siphasher::sip::SipHasher13;

const PLACES: usize = 64;

/// The texts seen last, at most [`PLACES`].
pub(super) struct SharedTexts([Option<Arc<str>>; PLACES]);

impl Default for SharedTexts {
    fn default() -> Self {
        Self([const { None }; PLACES])
    }
}

impl SharedTexts {
    /// Lets go of a text for an equal one that somebody else holds already.
    pub(super) fn share(&mut self, text: &mut Arc<str>) {
        let place = (SipHasher13::new().hash(text.as_bytes()) % PLACES as u64) as usize;
        match &mut self.0[place] {
            Some(known) if *known == *text => *text = Arc::clone(known),
            other => *other = Some(Arc::clone(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one() {
        let mut texts = SharedTexts::default();
        let mut all: Vec<Arc<str>> = (0..1000).map(|n| Arc::from(format!("agent {}", n % 3))).collect();
        all.iter_mut().for_each(|text| texts.share(text));
        assert!(
            all.iter()
                .enumerate()
                .all(|(n, text)| **text == *format!("agent {}", n % 3))
        );
        assert!(Arc::strong_count(&all[0]) > 300);
    }
}
