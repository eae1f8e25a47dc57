// SPDX-License-Identifier: Apache-2.0
//! Limits how many bytes a second a link sends: a token bucket is its only queue (tc-tbf(8)).

use crate::netlink::message::{CREATE, EXCLUSIVE, Message};
use crate::netlink::socket::Request;

/// `RTM_NEWQDISC`.
const NEW_QUEUE: u16 = 36;
/// `TC_H_ROOT`.
const ROOT: u32 = u32::MAX;
/// `TCA_*` and `TCA_TBF_*`.
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const PARAMETERS: u16 = 1;
const RATE: u16 = 4;
const BURST: u16 = 6;
/// `TC_LINKLAYER_ETHERNET`: the kernel computes times, and needs no table of them.
const ETHERNET: u8 = 1;

/// The most bytes that are sent at once, and the least, which is a packet of any size.
const BURST_MOST: u64 = 4 << 20;
const BURST_LEAST: u64 = 66 << 10;

/// Asks for a link to send at most this many bytes a second.
pub(crate) fn limit(name: &str, index: u32, rate: u64) -> Request {
    // As much as is sent in a twentieth of a second. Twice as much may wait.
    let burst = (rate / 20).clamp(BURST_LEAST, BURST_MOST);
    let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
    // `struct tcmsg`: family, index, handle, parent, info.
    let header = [0, index, 0, ROOT, 0].map(u32::to_ne_bytes).concat();
    // `struct tc_tbf_qopt`: two `struct tc_ratespec` of 12 bytes, the second one empty; limit, buffer and mtu.
    let mut parameters = [0; 36];
    parameters[1] = ETHERNET;
    parameters[8..12].copy_from_slice(&narrow(rate).to_ne_bytes());
    parameters[24..28].copy_from_slice(&narrow(2 * burst).to_ne_bytes());
    let message =
        Message::new(NEW_QUEUE, CREATE | EXCLUSIVE, &header).text(KIND, "tbf").nest(OPTIONS, |message| {
            let message = message.bytes(PARAMETERS, &parameters).number(BURST, narrow(burst));
            if u32::try_from(rate).is_ok() { message } else { message.bytes(RATE, &rate.to_ne_bytes()) }
        });
    Request::new(format!("limit {name} to {rate} bytes a second"), message)
}
