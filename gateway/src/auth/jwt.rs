//! The token is a JSON Web Token.

use std::{borrow::Cow, fmt, str::FromStr};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, TokenData, Validation, crypto::rust_crypto, decode,
    errors::ErrorKind,
};
use serde_json::{Map, Value};

use super::{Authenticator, Login, Refusal};

/// How far the clocks of issuer and gateway may be apart, in seconds.
const LEEWAY: u64 = 30;

/// RFC 7518, 3.2: a shorter secret is easier to find than the hash is to break.
const MIN_SECRET: usize = 32;
/// RFC 7518, 3.3: 2,048 bits.
const MIN_RSA_MODULUS: usize = 256;
const ED25519_KEY: usize = 32;

/// The signatures that can be asked for.
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("HS256", Algorithm::HS256),
    ("RS256", Algorithm::RS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

/// How tokens are signed: `HS256`, `RS256`, `ES256` or `EdDSA` (Ed25519).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwtAlgorithm(Algorithm);

impl JwtAlgorithm {
    /// With a secret, which who signs and who checks share.
    pub const HS256: Self = Self(Algorithm::HS256);
}

/// The name of no algorithm that is known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no algorithm for tokens: HS256, RS256, ES256 or EdDSA")]
pub struct UnknownAlgorithm(String);

impl FromStr for JwtAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = ALGORITHMS.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, algorithm)| Self(*algorithm))
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

impl fmt::Display for JwtAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = ALGORITHMS.iter().find(|(_, known)| *known == self.0);
        f.write_str(found.map_or("?", |(name, _)| name))
    }
}

/// Which tokens are accepted.
#[derive(Clone)]
pub struct JwtOptions {
    /// The only algorithm that is accepted, whatever a token says of itself.
    pub algorithm: JwtAlgorithm,
    /// The secret for `HS256`, at least 32 bytes; for the others the public key
    /// as PEM.
    pub key: Vec<u8>,
    /// What `iss` must be. Anybody unless set.
    pub issuer: Option<String>,
    /// What `aud` must be, or hold. Unless set, a token that names an audience
    /// is meant for somebody else (RFC 7519, 4.1.3).
    pub audience: Option<String>,
    /// The claim that names the user: a string, or an integer. Usually `sub`.
    pub claim: String,
}

/// Why a key can't be used. The key itself stands in no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadJwtKey {
    /// Shorter than what it signs.
    #[error("a secret for HS256 needs at least {MIN_SECRET} bytes; this one has {0}")]
    ShortSecret(usize),
    /// A private key would do, but does not belong here.
    #[error("this is a private key; the gateway checks signatures and takes the public key only")]
    Private,
    /// Not PEM, or a key for another algorithm.
    #[error("no public key for {0}: it begins with `-----BEGIN PUBLIC KEY-----` and has that kind")]
    NotPublic(&'static str),
    /// An RSA key that can be broken.
    #[error("an RSA key needs at least 2048 bits; this one has {0}")]
    ShortRsa(usize),
}

/// Accepts JSON Web Tokens by signature, time, issuer and audience
/// (`auth="jwt"`).
pub struct Jwt {
    key: DecodingKey,
    validation: Validation,
    claim: String,
}

impl Jwt {
    /// Takes the key and what is asked of tokens.
    ///
    /// # Errors
    /// Where the key is none for the algorithm, or too weak for it.
    pub fn new(options: JwtOptions) -> Result<Self, BadJwtKey> {
        // Whatever else is linked into the program, it is this one. An error says
        // that one is installed already.
        let _ = rust_crypto::DEFAULT_PROVIDER.install_default();
        let JwtAlgorithm(algorithm) = options.algorithm;
        Ok(Self {
            key: key(algorithm, &options.key)?,
            validation: validation(algorithm, &options),
            claim: options.claim,
        })
    }

    fn user(&self, token: &str) -> Result<String, Refusal> {
        let decoded: TokenData<Map<String, Value>> =
            decode(token, &self.key, &self.validation).map_err(|error| refusal(error.kind()))?;
        match decoded.claims.get(&self.claim) {
            Some(Value::String(user)) => Ok(user.clone()),
            Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
            Some(_) => Err(not_accepted("the claim that names the user is no string")),
            None => Err(not_accepted("it has no claim that names the user")),
        }
    }
}

impl Authenticator for Jwt {
    async fn authenticate(&self, login: Login) -> Result<String, Refusal> {
        self.user(&login.token)
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("validation", &self.validation)
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for JwtOptions {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtOptions")
            .field("algorithm", &self.algorithm)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

fn validation(algorithm: Algorithm, options: &JwtOptions) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    let mut required = vec!["exp"];
    if let Some(issuer) = &options.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if let Some(audience) = &options.audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

/// Reads the key, so that a wrong one stops the start and not every login.
fn key(algorithm: Algorithm, bytes: &[u8]) -> Result<DecodingKey, BadJwtKey> {
    if algorithm == Algorithm::HS256 {
        return match bytes.len() {
            short if short < MIN_SECRET => Err(BadJwtKey::ShortSecret(short)),
            _ => Ok(DecodingKey::from_secret(bytes)),
        };
    }
    let text = String::from_utf8_lossy(bytes);
    if text.contains("PRIVATE KEY-----") {
        return Err(BadJwtKey::Private);
    }
    if !text.contains("PUBLIC KEY-----") {
        return Err(not_public(algorithm));
    }
    public_key(algorithm, bytes)
}

fn public_key(algorithm: Algorithm, pem: &[u8]) -> Result<DecodingKey, BadJwtKey> {
    let unfit = |_| not_public(algorithm);
    let key = match algorithm.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        AlgorithmFamily::Hmac => return Err(not_public(algorithm)),
    };
    let key = key.map_err(unfit)?;
    let bytes = key.try_get_as_bytes().map_err(unfit)?;
    match algorithm.family() {
        AlgorithmFamily::Rsa => {
            let parts = &rust_crypto::DEFAULT_PROVIDER.key_utils;
            let (modulus, _) = (parts.rsa_pub_components_from_public_key)(bytes).map_err(unfit)?;
            if modulus.len() < MIN_RSA_MODULUS {
                return Err(BadJwtKey::ShortRsa(modulus.len() * 8));
            }
        }
        AlgorithmFamily::Ed if bytes.len() != ED25519_KEY => return Err(not_public(algorithm)),
        _ => {}
    }
    (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key).map_err(unfit)?;
    Ok(key)
}

fn not_public(algorithm: Algorithm) -> BadJwtKey {
    let known = ALGORITHMS.iter().find(|(_, known)| *known == algorithm);
    BadJwtKey::NotPublic(known.map_or("a token", |(name, _)| name))
}

/// A client hears that its token is old, since then it knows what to do; this is
/// told only of a token with a good signature. Anything else helps who guesses.
fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::ExpiredSignature => Refusal::new("the token has expired"),
        ErrorKind::ImmatureSignature => Refusal::new("the token is not valid yet"),
        ErrorKind::InvalidSignature => not_accepted("the signature is wrong"),
        ErrorKind::InvalidAlgorithm => not_accepted("it is signed by another algorithm"),
        ErrorKind::InvalidIssuer => not_accepted("another issuer"),
        ErrorKind::InvalidAudience => {
            not_accepted("another audience; `auth_jwt_audience` names the one that is accepted")
        }
        ErrorKind::MissingRequiredClaim(claim) => {
            not_accepted(format!("the claim `{claim}` is missing"))
        }
        _ => not_accepted("no JSON Web Token"),
    }
}

fn not_accepted(detail: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new("the token is not accepted").because(detail)
}
