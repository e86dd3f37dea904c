//! `tce gateway token`: signs a JWT that a gateway accepts, to try logins out.

use std::{
    fs, io,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use jsonwebtoken::{AlgorithmFamily, EncodingKey, Header, encode};
use serde_json::{Map, Value};

use crate::{
    auth::{BadJwtKey, JwtAuthenticator, Refusal},
    config::{Auth, JwtAlgorithm, Override, Properties, ServerConfig, Services},
    lifecycle::GatewayError,
};

/// Sign a JWT that a gateway accepts, to try logins out
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tce gateway token services.xml A1001
  tce gateway token services.xml A1001 --expires 60 --claim 'roles=[\"admin\"]'
  tce gateway token services.xml A1001 --key private.pem
  TCE_TOKEN=$(tce gateway token services.xml A1001) tce call tcp://localhost:12002 greet Ann

With HS256 the token is signed with the secret of the gateway: auth_jwt_secret, or
TCE_GATEWAY_AUTH_JWT_SECRET. The gateway has only the public key of other algorithms:
--key names the private one. Issuer, audience and the claim of the user are set as the
gateway requires them.
Exit status: 0 the token is printed, 1 the gateway would not accept it, 2 wrong arguments.")]
pub(crate) struct TokenCommand {
    /// The configuration of the gateway
    #[arg(value_name = "SERVICES.XML")]
    file: PathBuf,
    /// The user id
    user: String,
    /// The server of the file, if it has several
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Seconds until the token expires
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=MAX_LIFETIME))]
    expires: u64,
    /// The private key, a PEM file, for RS256, ES256 and EdDSA
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Add a claim: JSON, or a text
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_claim)]
    claim: Vec<(String, Value)>,
    /// Set a property, as for the gateway
    #[arg(long, value_name = "NAME=VALUE", value_parser = Override::from_flag)]
    set: Vec<Override>,
}

/// A hundred years, in seconds.
const MAX_LIFETIME: u64 = 100 * 366 * 24 * 3600;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("{0}")]
    Config(#[from] GatewayError),
    #[error(
        "server `{0}` does not log clients in by JWT: set its properties `userid_check` to true and \
         `auth` to jwt"
    )]
    NotJwt(String),
    #[error(
        "server `{0}` takes the keys of `auth_jwt_jwks`, whose issuer alone signs tokens; set \
         `auth_jwt_key` instead to try a key of your own"
    )]
    KeySet(String),
    #[error("name the server by --server: {0}")]
    WhichServer(String),
    #[error("{0} needs a private key, which the gateway does not have: name the PEM file by --key")]
    NeedsKey(JwtAlgorithm),
    #[error("--key has no effect: tokens are signed with the secret of HS256")]
    NeedsNoKey,
    #[error("{}: can't read the key: {source}", file.display())]
    UnreadableKey { file: PathBuf, source: io::Error },
    #[error("{}: not a private key for {algorithm}, as PEM", file.display())]
    UnfitKey {
        file: PathBuf,
        algorithm: JwtAlgorithm,
    },
    #[error("can't sign the token: {0}")]
    Signature(jsonwebtoken::errors::Error),
    #[error("the gateway would not accept the token: {0}")]
    Refused(Refusal),
}

impl From<BadJwtKey> for TokenError {
    fn from(error: BadJwtKey) -> Self {
        Self::Config(error.into())
    }
}

impl TokenCommand {
    pub(crate) fn run(&self) -> Result<(), TokenError> {
        println!("{}", self.token()?);
        Ok(())
    }

    fn token(&self) -> Result<String, TokenError> {
        let mut overrides = Override::from_environment(std::env::vars_os());
        overrides.extend(self.set.iter().cloned());
        let loaded = Services::load(&self.file, &overrides).map_err(GatewayError::from)?;
        let server = self.server(&loaded.services)?;
        let properties = &server.properties;
        if properties.auth != Auth::Jwt || !properties.userid_check {
            return Err(TokenError::NotJwt(server.name.clone()));
        }
        if properties.auth_jwt_jwks.is_some() {
            return Err(TokenError::KeySet(server.name.clone()));
        }
        let verifier = JwtAuthenticator::from_properties(properties)?;
        let algorithm = properties.auth_jwt_algorithm;
        let key = self.signing_key(properties)?;
        let claims = self.claims(properties);
        let token =
            encode(&Header::new(algorithm.0), &claims, &key).map_err(TokenError::Signature)?;
        // Another key than the gateway's, or a user id that it refuses.
        verifier.check(&token).map_err(TokenError::Refused)?;
        Ok(token)
    }

    fn server<'s>(&self, services: &'s Services) -> Result<&'s ServerConfig, TokenError> {
        match (&self.server, services.servers.as_slice()) {
            (Some(name), _) => Ok(services.server(name).map_err(GatewayError::from)?),
            (None, [only]) => Ok(only),
            (None, all) => {
                let names = all.iter().map(|server| server.name.as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                Err(TokenError::WhichServer(names))
            }
        }
    }

    fn signing_key(&self, properties: &Properties) -> Result<EncodingKey, TokenError> {
        let algorithm = properties.auth_jwt_algorithm;
        match (&self.key, &properties.auth_jwt_secret) {
            (None, Some(secret)) => Ok(EncodingKey::from_secret(secret.0.as_bytes())),
            (Some(_), Some(_)) => Err(TokenError::NeedsNoKey),
            (None, None) => Err(TokenError::NeedsKey(algorithm)),
            (Some(file), None) => {
                let pem = fs::read(file).map_err(|source| TokenError::UnreadableKey {
                    file: file.clone(),
                    source,
                })?;
                let key = match algorithm.0.family() {
                    AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(&pem),
                    AlgorithmFamily::Ec => EncodingKey::from_ec_pem(&pem),
                    AlgorithmFamily::Ed => EncodingKey::from_ed_pem(&pem),
                    AlgorithmFamily::Hmac => return Err(TokenError::NeedsNoKey),
                };
                key.map_err(|_| TokenError::UnfitKey {
                    file: file.clone(),
                    algorithm,
                })
            }
        }
    }

    /// The claims that the gateway requires, and those of the command line.
    fn claims(&self, properties: &Properties) -> Map<String, Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let mut claims = Map::new();
        claims.insert(properties.auth_jwt_claim.clone(), self.user.clone().into());
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), (now + self.expires).into());
        if let Some(issuer) = &properties.auth_jwt_issuer {
            claims.insert("iss".to_owned(), issuer.clone().into());
        }
        if let Some(audience) = &properties.auth_jwt_audience {
            claims.insert("aud".to_owned(), audience.clone().into());
        }
        claims.extend(self.claim.iter().cloned());
        claims
    }
}

/// Parses `name=value`, whose value is a text unless it is valid JSON.
fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() {
        return Err("the claim has no name; write NAME=VALUE".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}
