//! `tce gateway token`: its tokens log in, and what can't be signed is explained.

use std::{fs, path::Path};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use tce_gateway::auth::{Authenticator, JwtAuthenticator, JwtOptions, Login};
use tempfile::TempDir;

use super::command::{run, run_with};

/// A folder with a `services.xml` whose clients log in by JWT.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init", "--auth", "jwt"]).succeeds();
    folder
}

fn secret(folder: &Path) -> Vec<u8> {
    let text = fs::read_to_string(folder.join("services.xml")).unwrap();
    let (_, rest) = text.split_once("auth_jwt_secret\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.as_bytes().to_vec()
}

async fn user_of(options: JwtOptions, token: &str) -> Result<String, String> {
    let login = Login {
        token: token.trim_end().to_owned(),
        device_id: None,
        peer: "a test".to_owned(),
    };
    let admitted = JwtAuthenticator::new(options)
        .unwrap()
        .authenticate(login)
        .await;
    admitted
        .map(|admission| admission.user().to_owned())
        .map_err(|refusal| refusal.to_string())
}

fn options(algorithm: &str, key: &[u8]) -> JwtOptions {
    JwtOptions {
        algorithm: algorithm.parse().unwrap(),
        key: key.to_vec(),
        issuer: None,
        audience: None,
        claim: "sub".to_owned(),
        roles: None,
    }
}

#[tokio::test]
async fn a_token_names_its_user_and_expires() {
    let folder = folder();
    let token = run(folder.path(), &["token", "services.xml", "小猫"]).succeeds();
    let secret = secret(folder.path());
    assert_eq!(
        user_of(options("HS256", &secret), &token).await,
        Ok("小猫".to_owned())
    );
    let another = options("HS256", &[b'x'; 32]);
    assert!(user_of(another, &token).await.is_err());
    let short = ["token", "services.xml", "A1001", "--expires", "0"];
    run(folder.path(), &short).fails(2, "0 is not in 1..");
}

#[tokio::test]
async fn it_fits_what_the_gateway_requires() {
    let folder = folder();
    let secret = "abcdefghijklmnopqrstuvwxyz0123456789";
    let variables = [("TCE_GATEWAY_AUTH_JWT_SECRET", secret)];
    let args = [
        "token",
        "services.xml",
        "A1001",
        "--set",
        "auth_jwt_claim=user",
        "--set",
        "auth_jwt_issuer=me",
        "--set",
        "auth_jwt_audience=chat",
        "--claim",
        "roles=[\"admin\"]",
    ];
    let token = run_with(folder.path(), &args, &variables).succeeds();
    let required = JwtOptions {
        issuer: Some("me".to_owned()),
        audience: Some("chat".to_owned()),
        claim: "user".to_owned(),
        ..options("HS256", secret.as_bytes())
    };
    assert_eq!(user_of(required, &token).await, Ok("A1001".to_owned()));
}

#[tokio::test]
async fn a_private_key_signs_for_its_public_one() {
    for (algorithm, kind) in [("ES256", &PKCS_ECDSA_P256_SHA256), ("EdDSA", &PKCS_ED25519)] {
        let folder = folder();
        let pair = KeyPair::generate_for(kind).unwrap();
        let other = KeyPair::generate_for(kind).unwrap();
        for (name, pem) in [
            ("public.pem", pair.public_key_pem()),
            ("private.pem", pair.serialize_pem()),
            ("other.pem", other.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), pem).unwrap();
        }
        let algorithm_is = format!("auth_jwt_algorithm={algorithm}");
        let public = folder.path().join("public.pem");
        let key_is = format!("auth_jwt_key={}", public.display());
        let args = [
            "token",
            "services.xml",
            "A1001",
            "--set",
            &algorithm_is,
            "--set",
            &key_is,
            "--set",
            "auth_jwt_secret=",
        ];
        run(folder.path(), &args).fails(1, "name the PEM file by --key");
        let with = |key: &str| run(folder.path(), &[&args[..], &["--key", key]].concat());
        let token = with("private.pem").succeeds();
        let options = options(algorithm, pair.public_key_pem().as_bytes());
        assert_eq!(user_of(options, &token).await, Ok("A1001".to_owned()));
        with("other.pem").fails(
            1,
            "would not accept the token: the token is not accepted (the signature is wrong)",
        );
        with("public.pem").fails(1, "public.pem: not a private key for");
        with("missing.pem").fails(1, "missing.pem: can't read the key");
    }
}

#[test]
fn what_can_not_log_in_gets_no_token() {
    let folder = folder();
    let with = |extra: &[&str]| {
        let args = [&["token", "services.xml"], extra].concat();
        run(folder.path(), &args)
    };
    with(&["A1001", "--set", "userid_check=false"]).fails(1, "does not log clients in by JWT");
    with(&["A1001", "--key", "some.pem"]).fails(1, "--key has no effect");
    with(&["A1001", "--server", "gw"]).fails(1, "there is no server `gw`");
    with(&[""]).fails(1, "the user id is empty");
    with(&["A1001", "--claim", "exp=1"]).fails(1, "the token has expired");
    with(&["A1001", "--claim", "admin"]).fails(2, "write NAME=VALUE");
    with(&["A1001", "--claim", "=x"]).fails(2, "the claim has no name");
    let long = "x".repeat(300);
    with(&[&long]).fails(1, "the user id has more than 256 bytes");
    run(folder.path(), &["token", "missing.xml", "A1001"]).fails(1, "missing.xml");
}
