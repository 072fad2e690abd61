//! Inputs that are whole, from which a search begins.

/// A `Signature-Input` field of the profile.
#[must_use]
pub fn input(label: &str, nonce: &str, keyid: &str) -> String {
    format!(
        "{label}=(\"@method\" \"@authority\" \"@path\" \"@query\");created=1800000000;nonce=\"{nonce}\";\
         keyid=\"{keyid}\";alg=\"hmac-sha256\";tag=\"portcullis-1\""
    )
}
