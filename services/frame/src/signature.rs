//! Signatures of packages: Ed25519 over a package's kind, name, version and hash.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::{idl::frame::Manifest, manifest::hex};

/// The bytes of a public key.
const KEY_SIZE: usize = 32;

/// Why a signature is refused, or none can be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    /// The package has no signature.
    #[error("the package is not signed, and `trusted_keys` is set")]
    Missing,
    /// Signed by a key that is not trusted.
    #[error("the package is signed by the key {0}, which is not one of `trusted_keys`")]
    Untrusted(String),
    /// The signature does not fit to the package.
    #[error("the signature is not that of this package")]
    Wrong,
    /// The text is not a key.
    #[error("`{0}` is not a public key: it has 64 hexadecimal digits")]
    Key(String),
    /// The file holds no private key.
    #[error(
        "the file holds no Ed25519 key in PKCS#8: make one with `openssl genpkey -algorithm ed25519 -outform DER -out FILE`"
    )]
    PrivateKey,
}

/// A public key whose packages are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey([u8; KEY_SIZE]);

impl std::str::FromStr for TrustedKey {
    type Err = SignatureError;

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let refused = || SignatureError::Key(text.escape_debug().take(80).collect());
        if text.len() != 2 * KEY_SIZE || !text.is_ascii() {
            return Err(refused());
        }
        let mut key = [0; KEY_SIZE];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| refused())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refused())?;
        }
        Ok(Self(key))
    }
}

/// What is signed. The parts have no line breaks.
fn signed_text(manifest: &Manifest) -> String {
    let Manifest {
        kind,
        name,
        version,
        hash,
        ..
    } = manifest;
    format!("tce-frame package\n{kind}\n{name}\n{version}\n{hash}\n")
}

/// Signs a manifest: the public key, then the signature. `private_key` is PKCS#8 in DER.
///
/// # Errors
/// It is no private key.
pub fn sign(manifest: &Manifest, private_key: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private_key)
        .map_err(|_| SignatureError::PrivateKey)?;
    let mut signature = pair.public_key().as_ref().to_vec();
    signature.extend_from_slice(pair.sign(signed_text(manifest).as_bytes()).as_ref());
    Ok(signature)
}

/// Checks the signature of a manifest. Without trusted keys each package is taken.
///
/// # Errors
/// There is none, of another key, or of another package.
pub fn verify(manifest: &Manifest, trusted: &[TrustedKey]) -> Result<(), SignatureError> {
    if trusted.is_empty() {
        return Ok(());
    }
    let Some((key, signature)) = manifest.signature.split_at_checked(KEY_SIZE) else {
        return Err(SignatureError::Missing);
    };
    if !trusted.iter().any(|trusted| trusted.0 == key) {
        return Err(SignatureError::Untrusted(hex(key)));
    }
    UnparsedPublicKey::new(&ED25519, key)
        .verify(signed_text(manifest).as_bytes(), signature)
        .map_err(|_| SignatureError::Wrong)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    fn pair() -> (Vec<u8>, TrustedKey) {
        let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).expect("a key");
        let text = hex(pair.public_key().as_ref());
        (private.as_ref().to_vec(), text.parse().expect("a key"))
    }

    fn manifest() -> Manifest {
        Manifest {
            kind: "service".into(),
            name: "calculate".into(),
            version: "1.0".into(),
            hash: "ab".into(),
            ..Manifest::default()
        }
    }

    #[test]
    fn only_a_trusted_signature_of_the_package_is_taken() {
        let ((private, trusted), (foreign, _)) = (pair(), pair());
        let mut package = manifest();
        verify(&package, &[]).expect("no keys are set");
        let keys = [trusted];
        assert_eq!(verify(&package, &keys), Err(SignatureError::Missing));
        package.signature = sign(&package, &foreign).expect("signed");
        assert!(matches!(
            verify(&package, &keys),
            Err(SignatureError::Untrusted(_))
        ));
        package.signature = sign(&package, &private).expect("signed");
        verify(&package, &keys).expect("trusted");
        let other = Manifest {
            version: "1.1".into(),
            ..package
        };
        assert_eq!(verify(&other, &keys), Err(SignatureError::Wrong));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "ab", &"é".repeat(32), &"g".repeat(64)] {
            assert!(text.parse::<TrustedKey>().is_err());
        }
        assert_eq!(sign(&manifest(), b"junk"), Err(SignatureError::PrivateKey));
    }
}
