//! What was claimed, and whether it held.

use std::fmt::Write as _;

use super::narrator::Narrator;

/// One claim.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) claim: &'static str,
    pub(super) held: bool,
    pub(super) figure: String,
}

/// All claims, in their order.
#[derive(Default)]
pub(super) struct Proofs(Vec<Proof>);

impl Proofs {
    pub(super) fn push(&mut self, proof: Proof) {
        self.0.push(proof);
    }

    /// How many held, and how many there are.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.0.iter().filter(|proof| proof.held).count(), self.0.len())
    }

    pub(super) fn all_held(&self) -> bool {
        let (held, all) = self.count();
        held == all && all > 0
    }

    /// A row for each claim.
    pub(super) fn table(&self, narrator: Narrator) -> String {
        let width = self.0.iter().map(|proof| proof.claim.chars().count()).max();
        let width = width.unwrap_or_default();
        let mut table = String::new();
        for Proof { claim, held, figure } in &self.0 {
            let mark = narrator.mark(*held);
            // Writing to a String does not fail.
            let _ = writeln!(table, "{mark} {claim:<width$}  {figure}");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(claim: &'static str, held: bool) -> Proof {
        Proof {
            claim,
            held,
            figure: "1 of 1".into(),
        }
    }

    #[test]
    fn one_that_fails_fails_all() {
        let mut proofs = Proofs::default();
        assert!(!proofs.all_held(), "nothing was proved yet");
        proofs.push(proof("a signed call passes", true));
        assert!(proofs.all_held());
        proofs.push(proof("curl is refused", false));
        assert!(!proofs.all_held());
        let expected = "✓ a signed call passes  1 of 1\n✗ curl is refused       1 of 1\n";
        assert_eq!(proofs.table(Narrator::plain()), expected);
    }
}
