//! Every case, for every kind of client and of upstream.

use crate::common::{
    house::House,
    plan::{FRONTS, Plan},
};

/// A test for every case and kind of upstream; each tries every kind of client.
macro_rules! table {
    ([$($by:ident)+] $cases:tt) => { $( table! { @ $by $cases } )+ };
    (@ $by:ident [$($case:ident)+]) => {
        mod $by { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                for front in super::FRONTS {
                    let house = super::House::start(super::Plan::$by()).await;
                    let client = house.client(front).await;
                    crate::cases::$case(&house, client).await;
                    house.end().await;
                }
            }
        )+ }
    };
}

table! {
    [rabbitmq rabbitmq_in_batches memory direct]
    [
        twoway
        timeout
        asynchronous
        extra
        oneway
        bidirection
        fault
        unknown_operation
        unknown_interface
        undecodable
        a_mebibyte
        many_at_once
        in_order
    ]
}
