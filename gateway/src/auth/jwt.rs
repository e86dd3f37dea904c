//! JSON Web Tokens (`auth="jwt"`).

use std::{
    borrow::Cow,
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, TokenData, Validation, crypto::rust_crypto, decode,
    decode_header, errors::ErrorKind,
};
use serde_json::{Map, Value};

use super::{
    Admission, Authenticator, Login, Refusal, check_length, checked,
    jwks::{Jwks, NoKeySet},
};
use crate::config::{JwtAlgorithm, Properties};

/// The tolerated difference between the clocks of issuer and gateway, in
/// seconds.
const LEEWAY: u64 = 30;

/// In bytes. RFC 7518, 3.2: the secret is at least as long as the hash.
const MIN_SECRET: usize = 32;
/// In bytes. RFC 7518, 3.3: 2,048 bits.
const MIN_RSA_MODULUS: usize = 256;
/// In bytes.
const ED25519_KEY: usize = 32;

/// The requirements for tokens.
#[derive(Clone)]
pub struct JwtOptions {
    /// The only signature algorithm that is accepted, whatever the token names.
    pub algorithm: JwtAlgorithm,
    /// For `HS256` the secret, at least 32 bytes; for the others the public key
    /// as PEM.
    pub key: Vec<u8>,
    /// The required `iss`. `None` accepts any issuer.
    pub issuer: Option<String>,
    /// The required `aud`. `None` refuses tokens that name an audience
    /// (RFC 7519, 4.1.3).
    pub audience: Option<String>,
    /// The claim that holds the user id, a string or an integer; usually `sub`.
    pub claim: String,
    /// The claim that holds the roles of the user: a list of strings, or one string with
    /// spaces or commas between them. A dot leads to a claim within another one.
    pub roles: Option<String>,
}

/// Why a key can't be used. No message contains the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadJwtKey {
    /// Neither a key nor a secret is set.
    #[error(
        "`auth` is jwt, but there is no key to verify tokens with; set `auth_jwt_key` (a PEM file), `auth_jwt_jwks` or `auth_jwt_secret`"
    )]
    Missing,
    /// The file of the key can't be read.
    #[error("{}: can't read the key: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why it can't be read.
        reason: String,
    },
    /// The file of `auth_jwt_jwks` can't be used.
    #[error("{}: can't use the key set: {reason}", path.display())]
    KeySet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The secret is shorter than the hash.
    #[error(
        "a secret for HS256 needs at least {MIN_SECRET} bytes; this one has {0}; make one by `openssl rand -hex {MIN_SECRET}`"
    )]
    ShortSecret(usize),
    /// The key is a private key.
    #[error("this is a private key; the gateway only verifies signatures, with the public key")]
    Private,
    /// Not PEM, or a key for another algorithm.
    #[error(
        "not a public key for {0}; a PEM file with one begins with `-----BEGIN PUBLIC KEY-----`"
    )]
    NotPublic(&'static str),
    /// The RSA key is too short to be secure.
    #[error("an RSA key needs at least 2048 bits; this one has {0}")]
    ShortRsa(usize),
}

/// Verifies the signature, time, issuer and audience of JSON Web Tokens
/// (`auth="jwt"`).
pub struct JwtAuthenticator {
    keys: Keys,
    validation: Validation,
    claim: String,
    roles: Option<String>,
}

/// What tokens are verified with.
enum Keys {
    One(DecodingKey),
    Set(Arc<Jwks>),
}

impl JwtAuthenticator {
    /// Checks the key.
    ///
    /// # Errors
    /// The key does not fit the algorithm, or is too short.
    pub fn new(options: JwtOptions) -> Result<Self, BadJwtKey> {
        let JwtAlgorithm(algorithm) = options.algorithm;
        Ok(Self::with_keys(
            Keys::One(key(algorithm, &options.key)?),
            options,
        ))
    }

    fn with_keys(keys: Keys, options: JwtOptions) -> Self {
        // Selects one of the providers that may be linked into the program. An
        // error means that one is already installed.
        let _ = rust_crypto::DEFAULT_PROVIDER.install_default();
        let JwtAlgorithm(algorithm) = options.algorithm;
        Self {
            keys,
            validation: validation(algorithm, &options),
            claim: options.claim,
            roles: options.roles,
        }
    }

    /// An authenticator with the properties `auth_jwt_…`. Reads the file of the
    /// key.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, BadJwtKey> {
        let options = |key: Vec<u8>| JwtOptions {
            algorithm: properties.auth_jwt_algorithm,
            key,
            issuer: properties.auth_jwt_issuer.clone(),
            audience: properties.auth_jwt_audience.clone(),
            claim: properties.auth_jwt_claim.clone(),
            roles: properties.auth_jwt_roles.clone(),
        };
        if let Some(source) = &properties.auth_jwt_jwks {
            let set = Jwks::open(source).map_err(|error| BadJwtKey::KeySet {
                path: source.to_string().into(),
                reason: error.to_string(),
            })?;
            return Ok(Self::with_keys(Keys::Set(set), options(Vec::new())));
        }
        let key = match (&properties.auth_jwt_secret, &properties.auth_jwt_key) {
            (Some(secret), _) => secret.0.clone().into_bytes(),
            (None, Some(path)) => std::fs::read(path).map_err(|error| BadJwtKey::Unreadable {
                path: path.clone(),
                reason: error.to_string(),
            })?,
            (None, None) => return Err(BadJwtKey::Missing),
        };
        Self::new(options(key))
    }

    /// Fetches a key set at once, and then every `period` while this authenticator is in
    /// use. Has no effect for a single key.
    pub(crate) fn keep_fresh(self, period: Duration) -> Self {
        if let Keys::Set(set) = &self.keys {
            set.keep_fresh(period);
        }
        self
    }

    /// Whether a gateway with a single key admits the user of this token.
    pub(crate) fn check(&self, token: &str) -> Result<Admission, Refusal> {
        check_length(token)?;
        match &self.keys {
            Keys::One(key) => checked(self.admit(token, key)?),
            Keys::Set(_) => Err(Refusal::unavailable().because("its keys are those of a set")),
        }
    }

    /// The key of a token from a set, by the `kid` in the token's header.
    async fn key_in(&self, set: &Arc<Jwks>, token: &str) -> Result<DecodingKey, Refusal> {
        let header = decode_header(token).map_err(|error| refusal(error.kind()))?;
        let [algorithm] = self.validation.algorithms[..] else {
            return Err(Refusal::unavailable());
        };
        // Before the set is asked: another algorithm must not cause it to be fetched.
        if header.alg != algorithm {
            return Err(refusal(&ErrorKind::InvalidAlgorithm));
        }
        match set.find(algorithm, header.kid.as_deref()).await {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err(not_accepted("no key of `auth_jwt_jwks` has its `kid`")),
            Err(NoKeySet) => {
                Err(Refusal::unavailable().because("`auth_jwt_jwks` can't be fetched"))
            }
        }
    }

    fn admit(&self, token: &str, key: &DecodingKey) -> Result<Admission, Refusal> {
        let decoded: TokenData<Map<String, Value>> =
            decode(token, key, &self.validation).map_err(|error| refusal(error.kind()))?;
        // RFC 7515, 4.1.11: a token that demands an extension which the receiver
        // does not know is invalid. This one knows none.
        if decoded.header.crit.is_some() {
            return Err(not_accepted("its header demands an extension (`crit`)"));
        }
        let claims = &decoded.claims;
        let user = match claims.get(&self.claim) {
            Some(Value::String(user)) => user.clone(),
            Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
            Some(_) => return Err(not_accepted("the claim with the user id is not a string")),
            None => return Err(not_accepted("it has no claim with the user id")),
        };
        let roles = self.roles.as_deref().map(|claim| roles_of(claims, claim));
        let admission = Admission::new(user).with_roles(roles.unwrap_or_default());
        Ok(match end_of(claims) {
            Some(end) => admission.until(end),
            None => admission,
        })
    }
}

impl Authenticator for JwtAuthenticator {
    async fn authenticate(&self, login: Login) -> Result<Admission, Refusal> {
        match &self.keys {
            Keys::One(key) => self.admit(&login.token, key),
            Keys::Set(set) => {
                let key = self.key_in(set, &login.token).await?;
                self.admit(&login.token, &key)
            }
        }
    }
}

impl fmt::Debug for JwtAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthenticator")
            .field("validation", &self.validation)
            .field("claim", &self.claim)
            .field("roles", &self.roles)
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
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

/// When a token is no longer accepted; `None` beyond the system's clock.
fn end_of(claims: &Map<String, Value>) -> Option<SystemTime> {
    let expiration = Duration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()?;
    let time = expiration.checked_add(Duration::from_secs(LEEWAY))?;
    UNIX_EPOCH.checked_add(time)
}

/// The roles in a claim; none where the claim is missing or of another type.
fn roles_of(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    let nested = || {
        let mut names = claim.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    };
    // The name itself may have dots: those of some issuers are URLs.
    match claims.get(claim).or_else(nested) {
        Some(Value::Array(roles)) => {
            let roles = roles.iter().filter_map(Value::as_str);
            roles.map(str::to_owned).collect()
        }
        Some(Value::String(roles)) => {
            let roles = roles.split([' ', ',']).filter(|role| !role.is_empty());
            roles.map(str::to_owned).collect()
        }
        _ => Vec::new(),
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

/// Parses the key at the start, so that a wrong one does not fail every login.
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
    BadJwtKey::NotPublic(JwtAlgorithm(algorithm).name())
}

/// The client is told that a token has expired or is not valid yet, which is
/// reported only after the signature is verified. Other details would help to
/// guess tokens.
fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::ExpiredSignature => Refusal::new("the token has expired"),
        ErrorKind::ImmatureSignature => Refusal::new("the token is not valid yet"),
        ErrorKind::InvalidSignature => not_accepted("the signature is wrong"),
        ErrorKind::InvalidAlgorithm => not_accepted("it is signed with another algorithm"),
        ErrorKind::InvalidIssuer => not_accepted("it has another issuer"),
        ErrorKind::InvalidAudience => {
            not_accepted("it has another audience than `auth_jwt_audience`")
        }
        ErrorKind::MissingRequiredClaim(claim) => {
            not_accepted(format!("the claim `{claim}` is missing"))
        }
        _ => not_accepted("it is not a JSON Web Token"),
    }
}

fn not_accepted(detail: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new("the token is not accepted").because(detail)
}
