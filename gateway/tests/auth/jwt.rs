//! JSON Web Tokens that are accepted, and those that must be refused.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tce_gateway::auth::{Authenticator, JwtAuthenticator, JwtOptions};

use crate::{
    keys::{RSA_PUBLIC, SECRET, Signer, eddsa, es256, hs256, options, rs256},
    login,
};

const NOT_ACCEPTED: &str = "the token is not accepted";

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}

fn claims() -> Value {
    json!({ "sub": "A1001", "exp": now() + 600 })
}

/// The claims with one of them set.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// The claims with one of them missing.
fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

impl Signer {
    fn sign(&self, claims: &Value) -> String {
        encode(&Header::new(self.algorithm), claims, &self.key).unwrap()
    }

    /// The result for a token with these claims.
    async fn says(&self, claims: &Value) -> Result<String, String> {
        answer(&self.options, &self.sign(claims)).await
    }
}

/// The user id, or the text for the client.
async fn answer(options: &JwtOptions, token: &str) -> Result<String, String> {
    let jwt = JwtAuthenticator::new(options.clone()).expect("the key is good");
    let admission = jwt.authenticate(login(token)).await;
    let user = admission.map(|admission| admission.user().to_owned());
    user.map_err(|refusal| refusal.text().to_owned())
}

async fn is_refused(options: &JwtOptions, token: &str) {
    let answer = answer(options, token).await;
    assert_eq!(answer, Err(NOT_ACCEPTED.to_owned()), "{token}");
}

#[tokio::test]
async fn every_algorithm_lets_its_own_in() {
    for signer in [hs256(), rs256(), es256(), eddsa()] {
        let answer = signer.says(&claims()).await;
        assert_eq!(answer, Ok("A1001".to_owned()), "{:?}", signer.algorithm);
    }
}

/// The roles of a token whose roles are in this claim.
async fn roles(claim: Option<&str>, claims: &Value) -> Vec<String> {
    let signer = hs256();
    let options = JwtOptions {
        roles: claim.map(str::to_owned),
        ..signer.options.clone()
    };
    let jwt = JwtAuthenticator::new(options).expect("the key is good");
    let admission = jwt.authenticate(login(&signer.sign(claims))).await;
    admission.expect("the token is good").roles().to_vec()
}

#[tokio::test]
async fn a_claim_holds_the_roles() {
    let expected = ["admin", "editor"];
    for (claim, value) in [
        ("roles", json!(["admin", "editor"])),
        ("scope", json!("admin editor")),
        ("roles", json!("admin, editor")),
        ("https://example.org/roles", json!(["admin", 7, "editor"])),
    ] {
        assert_eq!(roles(Some(claim), &with(claim, value)).await, expected);
    }
    let nested = with("realm_access", json!({ "roles": ["admin", "editor"] }));
    assert_eq!(roles(Some("realm_access.roles"), &nested).await, expected);
    for value in [
        json!(null),
        json!(true),
        json!({ "admin": true }),
        json!([["admin"]]),
    ] {
        assert!(roles(Some("roles"), &with("roles", value)).await.is_empty());
    }
    assert!(roles(Some("roles"), &claims()).await.is_empty());
    assert!(
        roles(Some("a.b.c"), &with("a", json!({ "b": "c" })))
            .await
            .is_empty()
    );
    assert!(
        roles(None, &with("roles", json!(["admin"])))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn every_algorithm_keeps_all_others_out() {
    let signers = [hs256(), rs256(), es256(), eddsa()];
    for signer in &signers {
        let token = signer.sign(&claims());
        for other in &signers {
            if other.algorithm != signer.algorithm {
                is_refused(&other.options, &token).await;
            }
        }
    }
}

/// RFC 7515, 4.1.11: an extension that the receiver does not know.
#[tokio::test]
async fn a_token_that_demands_an_extension_is_refused() {
    let signer = hs256();
    for crit in [vec!["b64".to_owned()], vec![]] {
        let mut header = Header::new(signer.algorithm);
        header.crit = Some(crit);
        let token = encode(&header, &claims(), &signer.key).unwrap();
        is_refused(&signer.options, &token).await;
    }
}

#[tokio::test]
async fn a_login_ends_with_its_token() {
    let signer = hs256();
    let jwt = JwtAuthenticator::new(signer.options.clone()).unwrap();
    let token = signer.sign(&with("exp", json!(now() + 100)));
    let admission = jwt.authenticate(login(&token)).await.unwrap();
    let left = admission
        .ends_at()
        .unwrap()
        .duration_since(SystemTime::now());
    let left = left.unwrap().as_secs();
    // The tolerance for clocks is 30 s.
    assert!((120..=130).contains(&left), "{left}");
    let token = signer.sign(&with("exp", json!(u64::MAX)));
    let admission = jwt.authenticate(login(&token)).await.unwrap();
    assert_eq!(admission.ends_at(), None);
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let token = |secret: &[u8]| {
        let header = Header::new(Algorithm::HS256);
        encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap()
    };
    let options = rs256().options;
    is_refused(&options, &token(RSA_PUBLIC)).await;
    is_refused(&options, &token(RSA_PUBLIC.trim_ascii())).await;
}

#[tokio::test]
async fn a_token_without_signature_is_none() {
    // {"alg":"none","typ":"JWT"}, and the same with the other spellings.
    let headers = [
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0",
        "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0",
        "eyJhbGciOiJOT05FIiwidHlwIjoiSldUIn0",
    ];
    for signer in [hs256(), rs256(), es256(), eddsa()] {
        let signed = signer.sign(&claims());
        let parts: Vec<&str> = signed.split('.').collect();
        for header in headers {
            is_refused(&signer.options, &format!("{header}.{}.", parts[1])).await;
            is_refused(
                &signer.options,
                &format!("{header}.{}.{}", parts[1], parts[2]),
            )
            .await;
        }
        is_refused(&signer.options, &format!("{}.{}.", parts[0], parts[1])).await;
    }
}

#[tokio::test]
async fn a_signature_is_of_this_key_and_these_claims() {
    let stranger = Signer {
        key: EncodingKey::from_secret(b"another secret of thirty-two bytes"),
        ..hs256()
    };
    is_refused(&hs256().options, &stranger.sign(&claims())).await;

    let (mine, others) = (
        hs256().sign(&claims()),
        hs256().sign(&with("sub", json!("root"))),
    );
    let mine: Vec<&str> = mine.split('.').collect();
    let others: Vec<&str> = others.split('.').collect();
    let mixed = format!("{}.{}.{}", mine[0], others[1], mine[2]);
    is_refused(&hs256().options, &mixed).await;
}

#[tokio::test]
async fn a_token_ends_half_a_minute_after_its_time() {
    let signer = hs256();
    let expired = signer.says(&with("exp", json!(now() - 31))).await;
    assert_eq!(expired, Err("the token has expired".to_owned()));
    let just_so = signer.says(&with("exp", json!(now() - 1))).await;
    assert_eq!(just_so, Ok("A1001".to_owned()));
    for bad in [json!("tomorrow"), json!(-5), Value::Null] {
        is_refused(&signer.options, &signer.sign(&with("exp", bad))).await;
    }
    is_refused(&signer.options, &signer.sign(&without("exp"))).await;
}

#[tokio::test]
async fn only_its_own_issuer_hears_that_a_token_has_expired() {
    let stranger = Signer {
        key: EncodingKey::from_secret(b"another secret of thirty-two bytes"),
        ..hs256()
    };
    let token = stranger.sign(&with("exp", json!(now() - 31)));
    is_refused(&hs256().options, &token).await;
}

#[tokio::test]
async fn a_token_begins_half_a_minute_before_its_time() {
    let signer = hs256();
    let early = signer.says(&with("nbf", json!(now() + 600))).await;
    assert_eq!(early, Err("the token is not valid yet".to_owned()));
    let just_so = signer.says(&with("nbf", json!(now() + 20))).await;
    assert_eq!(just_so, Ok("A1001".to_owned()));
}

#[tokio::test]
async fn an_issuer_that_is_asked_for_must_be_named() {
    let mut signer = hs256();
    let ours = with("iss", json!("https://login.example.org"));
    assert!(signer.says(&ours).await.is_ok());
    signer.options.issuer = Some("https://login.example.org".to_owned());
    assert!(signer.says(&ours).await.is_ok());
    for claims in [
        claims(),
        with("iss", json!("https://login.example.org.evil.example")),
        with("iss", json!(5)),
    ] {
        is_refused(&signer.options, &signer.sign(&claims)).await;
    }
}

#[tokio::test]
async fn an_audience_is_ours_or_nobody_s() {
    let mut signer = hs256();
    let (ours, among) = (with("aud", json!("gw")), with("aud", json!(["web", "gw"])));
    // A token with an audience is refused by a gateway without one.
    is_refused(&signer.options, &signer.sign(&ours)).await;

    signer.options.audience = Some("gw".to_owned());
    assert!(signer.says(&ours).await.is_ok());
    assert!(signer.says(&among).await.is_ok());
    for claims in [
        claims(),
        with("aud", json!("web")),
        with("aud", json!(["web", "tv"])),
        with("aud", json!([])),
        with("aud", json!(5)),
    ] {
        is_refused(&signer.options, &signer.sign(&claims)).await;
    }
}

#[tokio::test]
async fn the_user_is_a_string_or_an_integer() {
    let signer = hs256();
    assert_eq!(
        signer.says(&with("sub", json!(1001))).await.unwrap(),
        "1001"
    );
    let large = signer.says(&with("sub", json!(u64::MAX))).await;
    assert_eq!(large.unwrap(), "18446744073709551615");
    for bad in [
        json!(1.5),
        json!(true),
        json!(["A1001"]),
        json!({}),
        Value::Null,
    ] {
        is_refused(&signer.options, &signer.sign(&with("sub", bad))).await;
    }
    is_refused(&signer.options, &signer.sign(&without("sub"))).await;
}

#[tokio::test]
async fn another_claim_may_name_the_user() {
    let mut signer = es256();
    signer.options.claim = "user_id".to_owned();
    let named = signer.says(&with("user_id", json!("B2002"))).await;
    assert_eq!(named, Ok("B2002".to_owned()));
    is_refused(&signer.options, &signer.sign(&claims())).await;
}

#[tokio::test]
async fn garbage_is_refused() {
    let options = options("HS256", SECRET);
    let good = hs256().sign(&claims());
    let claims_alone = good.split('.').nth(1).unwrap();
    let cases = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "A1001".to_owned(),
        "小.猫.!".to_owned(),
        "eyJ.eyJ.eyJ".to_owned(),
        format!("{good}."),
        format!("{good}A"),
        format!(".{good}"),
        format!("{good}\0"),
        good.replace('.', " "),
        good[..good.len() - 2].to_owned(),
        format!("{claims_alone}.{claims_alone}.{claims_alone}"),
    ];
    for token in cases {
        is_refused(&options, &token).await;
    }
}

/// Any value that a claim may have.
fn any_claim() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<Vec<String>>().prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in any::<String>()) {
        let refused = block_on(answer(&options("HS256", SECRET), &text));
        prop_assert_eq!(refused, Err(NOT_ACCEPTED.to_owned()));
    }

    #[test]
    fn whatever_is_signed_lets_in_the_user_it_names_or_nobody(
        sub in any_claim(), exp in any_claim(), nbf in any_claim(),
        iss in any_claim(), aud in any_claim(),
    ) {
        let mut signer = hs256();
        signer.options.issuer = iss.as_str().map(str::to_owned);
        signer.options.audience = aud.as_str().map(str::to_owned);
        let claims = json!({ "sub": sub, "exp": exp, "nbf": nbf, "iss": iss, "aud": aud });
        if let Ok(user) = block_on(signer.says(&claims)) {
            let named = sub.as_str().map_or_else(|| sub.to_string(), str::to_owned);
            prop_assert_eq!(user, named);
            prop_assert!(exp.as_f64().is_some_and(|exp| exp > 1e9));
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}
