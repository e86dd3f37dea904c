//! Endpoints with `compress=1`.

use tce_runtime::{Communicator, Proxy, config::Options};

use crate::common::{
    probe::{BLOB, serve_at},
    watching::within,
};

async fn round_trips(proxy: &Proxy) {
    for size in [0, 1, 100, 101, 70_000, 3 << 20] {
        let flat = vec![7_u8; size];
        let mut noise = 1_u32;
        let rough: Vec<u8> = (0..size)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        for data in [flat, rough] {
            let answer: Vec<u8> = within(proxy.call(&BLOB, (&data,))).await.unwrap();
            assert!(answer == data, "{size} bytes came back different");
        }
    }
}

#[tokio::test]
async fn either_side_may_compress() {
    for query in ["", "?compress=1"] {
        let endpoint = format!("tcp://127.0.0.1:0{query}");
        let server = serve_at(&endpoint, Options::default()).await;
        for compress in [false, true] {
            let mut endpoint = server.endpoint().clone();
            endpoint.compress = compress;
            let proxy = Proxy::connect(&Communicator::new(), &endpoint.to_string())
                .await
                .unwrap();
            round_trips(&proxy).await;
        }
    }
}
