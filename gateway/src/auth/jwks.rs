//! Key sets (RFC 7517, 5): the public keys of an issuer that replaces them from time
//! to time, from a file or by HTTP.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, LazyLock, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use hyper::Uri;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    crypto::rust_crypto,
    jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse},
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::fetch::{FetchError, fetch};
use crate::config::KeySetSource;

/// The time between two attempts to fetch a set that a token's unknown key causes: an
/// issuer that is flooded by them would block the gateway.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
/// The maximum number of keys of a set.
const MAX_KEYS: usize = 256;
/// The minimum length of an RSA modulus in base64: 2,048 bits.
const MIN_RSA_BASE64: usize = 342;

/// Why a key set can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("can't read it: {0}")]
    Read(#[from] std::io::Error),
    #[error("it is not a JSON Web Key Set: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    #[error(
        "it has no public key that can verify a signature (RSA from 2048 bits, P-256, Ed25519)"
    )]
    Empty,
}

struct SetKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The usable keys of a set.
pub(super) struct KeySet(Vec<SetKey>);

#[derive(Deserialize)]
struct SetText {
    keys: Vec<Value>,
}

impl KeySet {
    /// Keys of unknown kinds, and those for encryption, are left out.
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let text: SetText = serde_json::from_slice(text)?;
        if text.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<_> = text.keys.into_iter().filter_map(set_key).collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self(keys))
    }

    pub(super) fn read(path: &Path) -> Result<Self, KeySetError> {
        Self::parse(&fs::read(path)?)
    }

    /// The key of a token with this `kid`; without one, the only key of the algorithm.
    fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&DecodingKey> {
        let mut keys = self.0.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => keys
                .find(|key| key.id.as_deref() == Some(id))
                .map(|key| &key.key),
            None => {
                let first = keys.next()?;
                keys.next().is_none().then_some(&first.key)
            }
        }
    }
}

fn set_key(value: Value) -> Option<SetKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa)
            if rsa.n.trim_start_matches('A').len() >= MIN_RSA_BASE64 - 1 =>
        {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(_) => (Algorithm::ES256, KeyAlgorithm::ES256),
        AlgorithmParameters::OctetKeyPair(_) => (Algorithm::EdDSA, KeyAlgorithm::EdDSA),
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|other| other != named) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    debug_assert_ne!(algorithm.family(), AlgorithmFamily::Hmac);
    // Checks the curve and the length.
    (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key).ok()?;
    Some(SetKey {
        id: jwk.common.key_id,
        algorithm,
        key,
    })
}

/// A key set that is kept up to date. The last good one stays in use while it can't be
/// read or fetched.
pub(super) struct Jwks {
    source: KeySetSource,
    keys: ArcSwapOption<KeySet>,
    /// Held while the set is fetched, and when the last attempt ended.
    last_attempt: tokio::sync::Mutex<Option<Instant>>,
    pause: Duration,
}

/// The sets by URL: gateways of one process share them, and a reload keeps the last good
/// set while its URL does not answer.
static BY_URL: LazyLock<Mutex<HashMap<Uri, Weak<Jwks>>>> = LazyLock::new(Mutex::default);

impl Jwks {
    /// Reads a file at once. A URL is fetched by [`Jwks::keep_fresh`], or by the first
    /// login.
    pub(super) fn open(source: &KeySetSource) -> Result<Arc<Self>, KeySetError> {
        match source {
            KeySetSource::File(path) => {
                let jwks = Self::new(source, UNKNOWN_KEY_PAUSE);
                jwks.keys.store(Some(Arc::new(KeySet::read(path)?)));
                Ok(Arc::new(jwks))
            }
            KeySetSource::Url(uri) => {
                let mut by_url = BY_URL.lock();
                by_url.retain(|_, jwks| jwks.strong_count() > 0);
                if let Some(jwks) = by_url.get(uri).and_then(Weak::upgrade) {
                    return Ok(jwks);
                }
                let jwks = Arc::new(Self::new(source, UNKNOWN_KEY_PAUSE));
                by_url.insert(uri.clone(), Arc::downgrade(&jwks));
                Ok(jwks)
            }
        }
    }

    fn new(source: &KeySetSource, pause: Duration) -> Self {
        Self {
            source: source.clone(),
            keys: ArcSwapOption::empty(),
            last_attempt: tokio::sync::Mutex::default(),
            pause,
        }
    }

    /// Fetches the set now and then every `period`, until the last user of it is
    /// dropped.
    pub(super) fn keep_fresh(self: &Arc<Self>, period: Duration) {
        let this = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(jwks) = this.upgrade() {
                jwks.refresh(Instant::now()).await;
                drop(jwks);
                tokio::time::sleep(period).await;
            }
        });
    }

    /// The key of a token with this `kid`. Fetches the set if it has no such key, unless
    /// the last attempt is too recent.
    ///
    /// # Errors
    /// There is no set yet.
    pub(super) async fn find(
        self: &Arc<Self>,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Option<DecodingKey>, NoKeySet> {
        if let Some(key) = self.cached(algorithm, id) {
            return Ok(Some(key));
        }
        // A task of its own: a login that reaches its time limit must not cut off the attempt,
        // or the next one would begin another.
        let (this, asked) = (Arc::clone(self), Instant::now());
        let _ = tokio::spawn(async move { this.refresh(asked).await }).await;
        match self.keys.load().is_some() {
            true => Ok(self.cached(algorithm, id)),
            false => Err(NoKeySet),
        }
    }

    fn cached(&self, algorithm: Algorithm, id: Option<&str>) -> Option<DecodingKey> {
        let keys = self.keys.load();
        keys.as_ref()?.find(algorithm, id).cloned()
    }

    /// Fetches the set, unless an attempt has ended after `asked`, or too recently.
    async fn refresh(&self, asked: Instant) {
        let mut last_attempt = self.last_attempt.lock().await;
        if last_attempt.is_some_and(|ended| ended + self.pause > asked) {
            return;
        }
        let fetched = match &self.source {
            KeySetSource::File(path) => KeySet::read(path),
            KeySetSource::Url(uri) => match fetch(uri).await {
                Ok(text) => KeySet::parse(&text),
                Err(error) => Err(error.into()),
            },
        };
        match fetched {
            Ok(keys) => self.keys.store(Some(Arc::new(keys))),
            Err(error) => {
                let source = self.source.to_string();
                tracing::warn!(
                    source,
                    "can't update the keys of JWTs, the last ones stay in use: {error}"
                );
            }
        }
        *last_attempt = Some(Instant::now());
    }
}

/// No set has been fetched yet.
#[derive(Debug)]
pub(super) struct NoKeySet;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use jsonwebtoken::EncodingKey;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A public key with this `kid`.
    fn jwk(id: &str) -> Value {
        // Fails if another test has installed it.
        let _ = rust_crypto::DEFAULT_PROVIDER.install_default();
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn set_of(ids: &[&str]) -> String {
        let keys: Vec<_> = ids.iter().map(|id| jwk(id)).collect();
        json!({ "keys": keys }).to_string()
    }

    /// An issuer whose answer can be changed; `None` closes connections.
    struct Issuer {
        answer: Mutex<Option<String>>,
        requests: AtomicUsize,
    }

    impl Issuer {
        async fn start(set: &str) -> (Arc<Self>, KeySetSource) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/keys", listener.local_addr().unwrap());
            let issuer = Arc::new(Self {
                answer: Mutex::new(Some(ok(set))),
                requests: AtomicUsize::new(0),
            });
            let this = Arc::clone(&issuer);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    this.requests.fetch_add(1, Ordering::Relaxed);
                    let mut request = [0; 1024];
                    let _ = stream.read(&mut request).await;
                    let answer = this.answer.lock().clone();
                    if let Some(answer) = answer {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                }
            });
            (issuer, KeySetSource::Url(url.parse().unwrap()))
        }

        fn answers(&self, answer: Option<String>) {
            *self.answer.lock() = answer;
        }

        fn requests(&self) -> usize {
            self.requests.load(Ordering::Relaxed)
        }
    }

    fn ok(body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    fn jwks(source: &KeySetSource, pause: Duration) -> Arc<Jwks> {
        Arc::new(Jwks::new(source, pause))
    }

    async fn has(jwks: &Arc<Jwks>, id: &str) -> bool {
        let found = jwks.find(Algorithm::ES256, Some(id)).await;
        found.is_ok_and(|key| key.is_some())
    }

    #[test]
    fn a_key_is_found_by_its_id_and_a_single_one_without() {
        let set = KeySet::parse(set_of(&["a", "b"]).as_bytes()).unwrap();
        assert!(set.find(Algorithm::ES256, Some("b")).is_some());
        assert!(set.find(Algorithm::ES256, Some("c")).is_none());
        assert!(set.find(Algorithm::RS256, Some("b")).is_none());
        assert!(set.find(Algorithm::ES256, None).is_none(), "two of them");
        let single = KeySet::parse(set_of(&["a"]).as_bytes()).unwrap();
        assert!(single.find(Algorithm::ES256, None).is_some());
    }

    #[test]
    fn unusable_keys_are_left_out() {
        let with = |name: &str, value: &str| {
            let mut key = jwk("x");
            key[name] = value.into();
            key
        };
        let secret = json!({ "kty": "oct", "kid": "x", "k": "AAAA" });
        let short = json!({ "kty": "RSA", "kid": "x", "n": "AQAB", "e": "AQAB" });
        let unusable = [
            with("use", "enc"),
            with("alg", "ES384"),
            with("kty", "new"),
            with("x", "!"),
            secret,
            short,
            json!(1),
        ];
        for key in unusable {
            let alone = json!({ "keys": [&key] }).to_string();
            let refused = KeySet::parse(alone.as_bytes());
            assert!(matches!(refused, Err(KeySetError::Empty)), "{key}");
            let beside = json!({ "keys": [key, jwk("good")] }).to_string();
            assert_eq!(KeySet::parse(beside.as_bytes()).unwrap().0.len(), 1);
        }
        assert!(matches!(KeySet::parse(b"{"), Err(KeySetError::Json(_))));
        let many = json!({ "keys": vec![1; MAX_KEYS + 1] }).to_string();
        assert!(matches!(
            KeySet::parse(many.as_bytes()),
            Err(KeySetError::TooMany)
        ));
    }

    #[tokio::test]
    async fn a_new_key_is_fetched_when_a_token_names_it() {
        let (issuer, source) = Issuer::start(&set_of(&["old"])).await;
        let jwks = jwks(&source, Duration::ZERO);
        assert!(has(&jwks, "old").await);
        issuer.answers(Some(ok(&set_of(&["new"]))));
        assert!(has(&jwks, "new").await);
        assert!(!has(&jwks, "old").await, "the issuer has withdrawn it");
    }

    #[tokio::test]
    async fn unknown_keys_cause_one_request_in_the_pause() {
        let (issuer, source) = Issuer::start(&set_of(&["a"])).await;
        let jwks = jwks(&source, Duration::from_secs(3600));
        let logins = (0..50).map(|number| {
            let jwks = Arc::clone(&jwks);
            async move { has(&jwks, &format!("guess {number}")).await }
        });
        let found = futures_util::future::join_all(logins).await;
        assert!(!found.contains(&true));
        assert!(has(&jwks, "a").await);
        assert_eq!(issuer.requests(), 1);
    }

    #[tokio::test]
    async fn the_last_good_set_outlasts_an_issuer_that_is_down_or_wrong() {
        let (issuer, source) = Issuer::start(&set_of(&["a"])).await;
        let jwks = jwks(&source, Duration::ZERO);
        assert!(has(&jwks, "a").await);
        let wrong = [
            None,
            Some("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
            Some(
                "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
                    .to_owned(),
            ),
            Some("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned()),
            Some(ok("<html>")),
            Some(ok("{\"keys\":[]}")),
            Some(ok(&" ".repeat(300 << 10))),
        ];
        for answer in wrong {
            issuer.answers(answer.clone());
            let before = issuer.requests();
            assert!(!has(&jwks, "b").await, "{answer:?}");
            assert!(issuer.requests() > before, "it was tried: {answer:?}");
            assert!(has(&jwks, "a").await, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn without_a_set_logins_are_put_off_until_the_issuer_answers() {
        let (issuer, source) = Issuer::start("").await;
        issuer.answers(None);
        let jwks = jwks(&source, Duration::ZERO);
        assert!(jwks.find(Algorithm::ES256, Some("a")).await.is_err());
        issuer.answers(Some(ok(&set_of(&["a"]))));
        assert!(has(&jwks, "a").await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_issuer_is_not_waited_for_without_a_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let jwks = jwks(&KeySetSource::Url(url.parse().unwrap()), Duration::ZERO);
        assert!(jwks.find(Algorithm::ES256, Some("a")).await.is_err());
    }

    #[tokio::test]
    async fn a_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        fs::write(&file, set_of(&["a"])).unwrap();
        let jwks = jwks(&KeySetSource::File(file.clone()), Duration::ZERO);
        assert!(has(&jwks, "a").await);
        fs::write(&file, set_of(&["b"])).unwrap();
        assert!(has(&jwks, "b").await);
        fs::remove_file(&file).unwrap();
        assert!(!has(&jwks, "c").await);
        assert!(has(&jwks, "b").await);
    }
}
