//! The same calls over every transport.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers are cut to bytes on purpose"
)]

#[cfg(test)]
#[path = "../../tce-runtime/tests/common/mod.rs"]
mod common;
#[cfg(test)]
#[path = "../../tce-runtime/tests/mq/queues.rs"]
#[allow(dead_code, reason = "each test program uses its own part of this")]
mod queues;
#[cfg(test)]
#[path = "../values.rs"]
mod values;

#[cfg(test)]
mod calls;
#[cfg(test)]
mod keeper;
#[cfg(test)]
mod transports;
#[cfg(test)]
mod zoo;

/// A test for every case over every transport.
#[cfg(test)]
macro_rules! table {
    ([$($transport:ident)+] $cases:tt) => { $( table! { @ $transport $cases } )+ };
    (@ $transport:ident { $($group:ident [$($case:ident)+])+ }) => {
        mod $transport { $( mod $group { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let pair = crate::transports::$transport().await;
                crate::$group::$case(&pair).await;
                pair.end().await;
            }
        )+ } )+ }
    };
}

#[cfg(test)]
table! {
    [tcp ssl ws wss amqp amqp_in_batches memory memory_in_batches]
    {
        calls [
            twoway
            oneway
            asynchronous
            callback_on_return
            ping
            deadline
            deadline_of_a_call_in_the_background
            extra_both_ways
            fault
            panics
            unknown_interface
            unknown_operation
            undecodable_parameters
            undecodable_result
            strings_of_a_mebibyte
            sixty_four_callers
            order_of_oneway_calls
            calls_back_to_the_caller
            pushes_to_the_caller
        ]
        zoo [
            families
            random_families_at_once
            tables
            blobs
            counts
            names
            many_parameters
            many_parameters_in_every_mode
            longs
            doubles
            truths
        ]
    }
}
