//! Frames from the other side of a control socket: never a panic, and what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoa_model::control::{Order, Report};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(order) = serde_json::from_slice::<Order>(bytes) {
        let text = serde_json::to_vec(&order).expect("an order has a JSON form");
        assert_eq!(serde_json::from_slice::<Order>(&text).expect("its own form"), order);
    }
    if let Ok(report) = serde_json::from_slice::<Report>(bytes) {
        let text = serde_json::to_vec(&report).expect("a report has a JSON form");
        assert_eq!(serde_json::from_slice::<Report>(&text).expect("its own form"), report);
    }
});
