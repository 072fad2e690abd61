//! The algorithms that sessions sign with.

/// How a session signs, by its name in the IANA registry of HTTP signature algorithms (RFC 9421 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A key that both sides know (RFC 9421 section 3.3.3).
    HmacSha256,
    /// The gate knows a point; signatures are `r || s` (RFC 9421 section 3.3.4).
    EcdsaP256Sha256,
    /// The gate knows a point (RFC 9421 section 3.3.6).
    Ed25519,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HmacSha256, Self::EcdsaP256Sha256, Self::Ed25519];

    /// The value of the parameter `alg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => super::HMAC_SHA256,
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The algorithm of this name, spelled exactly so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        }
        for name in [
            "",
            "none",
            "HMAC-SHA256",
            "hmac-sha256 ",
            "rsa-pss-sha512",
            "ecdsa-p384-sha384",
        ] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }
}
