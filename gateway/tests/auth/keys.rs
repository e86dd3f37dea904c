//! Keys of tokens, and the errors for unusable ones.

use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use tce_gateway::auth::{BadJwtKey, JwtAuthenticator, JwtOptions};

/// Generated for these tests only.
pub(crate) const RSA_PRIVATE: &[u8] = include_bytes!("rsa_private.pem");
pub(crate) const RSA_PUBLIC: &[u8] = include_bytes!("rsa_public.pem");
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The key that signs tokens, and the options that verify them.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    pub(crate) options: JwtOptions,
}

/// Options with this algorithm and key, for any issuer and no audience.
pub(crate) fn options(algorithm: &str, key: &[u8]) -> JwtOptions {
    JwtOptions {
        algorithm: algorithm.parse().expect("it is known"),
        key: key.to_vec(),
        issuer: None,
        audience: None,
        claim: "sub".to_owned(),
        roles: None,
    }
}

pub(crate) fn hs256() -> Signer {
    Signer {
        algorithm: Algorithm::HS256,
        key: EncodingKey::from_secret(SECRET),
        options: options("HS256", SECRET),
    }
}

pub(crate) fn rs256() -> Signer {
    Signer {
        algorithm: Algorithm::RS256,
        key: EncodingKey::from_rsa_pem(RSA_PRIVATE).unwrap(),
        options: options("RS256", RSA_PUBLIC),
    }
}

pub(crate) fn es256() -> Signer {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    Signer {
        algorithm: Algorithm::ES256,
        key: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
        options: options("ES256", pair.public_key_pem().as_bytes()),
    }
}

pub(crate) fn eddsa() -> Signer {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    Signer {
        algorithm: Algorithm::EdDSA,
        key: EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap(),
        options: options("EdDSA", pair.public_key_pem().as_bytes()),
    }
}

fn mistake(algorithm: &str, key: &[u8]) -> BadJwtKey {
    JwtAuthenticator::new(options(algorithm, key)).expect_err("the key is bad")
}

#[test]
fn a_secret_is_as_long_as_its_hash() {
    let error = mistake("HS256", &SECRET[1..]);
    assert_eq!(
        error.to_string(),
        "a secret for HS256 needs at least 32 bytes; this one has 31; make one by `openssl rand -hex 32`"
    );
}

#[test]
fn a_private_key_stays_at_home() {
    assert_eq!(mistake("RS256", RSA_PRIVATE), BadJwtKey::Private);
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let error = mistake("ES256", pair.serialize_pem().as_bytes());
    assert_eq!(error, BadJwtKey::Private);
}

#[test]
fn a_key_is_of_its_algorithm() {
    let p384 = include_bytes!("p384_public.pem");
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let ed25519 = ed25519.public_key_pem();
    let cases: [(&'static str, &[u8]); 8] = [
        ("RS256", ed25519.as_bytes()),
        ("ES256", RSA_PUBLIC),
        ("ES256", p384),
        ("EdDSA", RSA_PUBLIC),
        ("EdDSA", p384),
        ("RS256", b""),
        (
            "ES256",
            b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        ),
        ("RS256", &[0xff; 300]),
    ];
    for (algorithm, key) in cases {
        let error = mistake(algorithm, key);
        assert_eq!(error, BadJwtKey::NotPublic(algorithm), "{key:?}");
    }
}

#[test]
fn a_short_ed25519_key_stops_the_start_and_not_the_program() {
    // The algorithm's name, and a key of four bytes.
    let text = "-----BEGIN PUBLIC KEY-----\nMA4wBQYDK2VwAwUAAQIDBA==\n-----END PUBLIC KEY-----\n";
    let error = mistake("EdDSA", text.as_bytes());
    assert_eq!(error, BadJwtKey::NotPublic("EdDSA"));
}

#[test]
fn an_rsa_key_that_can_be_broken_is_none() {
    let error = mistake("RS256", include_bytes!("rsa_1024_public.pem"));
    assert_eq!(error, BadJwtKey::ShortRsa(1024));
}

#[test]
fn a_key_is_never_shown() {
    let options = options("HS256", SECRET);
    let jwt = JwtAuthenticator::new(options.clone()).unwrap();
    let shown = format!("{options:?} {jwt:?}");
    assert!(!shown.contains("48, 49, 50"), "{shown}");
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn algorithms_have_names() {
    let error = "none"
        .parse::<tce_gateway::auth::JwtAlgorithm>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown signature algorithm `none`; write HS256, RS256, ES256 or EdDSA"
    );
}
