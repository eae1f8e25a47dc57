// SPDX-License-Identifier: Apache-2.0
//! Rules as the kernel takes them: each part is one or a few *expressions*, which pass values in registers (the kernel's
//! include/uapi/linux/netfilter/nf_tables.h).

use std::net::IpAddr;

use pod::manifest::Protocol;

use super::rules::{Block, Part};
use super::{V4, V6};
use crate::netlink::message::Message;

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_*`.
const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFT_META_*`.
const FAMILY: u32 = 15;
const PROTOCOL: u32 = 16;
const INPUT_NAME: u32 = 6;
const OUTPUT_NAME: u32 = 7;
const INPUT_GROUP: u32 = 21;
/// `NFT_CT_*`, and bits of their values (include/uapi/linux/netfilter/nf_conntrack_common.h).
const STATE: u32 = 0;
const STATUS: u32 = 2;
const ESTABLISHED: u32 = 1 << 1;
const RELATED: u32 = 1 << 2;
const DESTINATION_CHANGED: u32 = 1 << 5;
/// `NFT_PAYLOAD_*_HEADER`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// `NFT_REG_*`: registers of 16 bytes.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// `NF_DROP`, `NF_ACCEPT`, `NFT_JUMP`.
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
/// `IFNAMSIZ`.
const LINK_NAME: usize = 16;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;

/// Whether a value in a register is compared for being the same.
#[derive(Clone, Copy)]
enum Is {
    Equal = 0,
    Different = 1,
}

/// Adds the expressions of a part.
pub(super) fn part(message: Message, part: &Part) -> Message {
    match part {
        Part::From(link) => compare(meta(message, INPUT_NAME), Is::Equal, &link_name(link)),
        Part::FromGroup(group) => compare(meta(message, INPUT_GROUP), Is::Equal, &group.to_ne_bytes()),
        Part::To(link) => compare(meta(message, OUTPUT_NAME), Is::Equal, &link_name(link)),
        Part::ToOtherThan(prefix) => compare(meta(message, OUTPUT_NAME), Is::Different, prefix.as_bytes()),
        Part::Ipv4 => family(message, V4),
        Part::Ipv6 => family(message, V6),
        Part::Source(block) => address(message, *block, End::Source, Is::Equal),
        Part::SourceOtherThan(block) => address(message, *block, End::Source, Is::Different),
        Part::Destination(block) => address(message, *block, End::Destination, Is::Equal),
        Part::OfHost { v6 } => {
            let message = family(message, if *v6 { V6 } else { V4 });
            // NFTA_FIB_DREG, NFTA_FIB_RESULT: NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_FLAGS: NFTA_FIB_F_DADDR.
            let message = expression(message, "fib", |message| {
                message.big_endian(1, FIRST).big_endian(2, 3).big_endian(3, 2)
            });
            compare(message, Is::Equal, &LOCAL.to_ne_bytes())
        }
        Part::Port(protocol, port) => {
            let number = match protocol {
                Protocol::Tcp => 6,
                Protocol::Udp => 17,
            };
            let message = compare(meta(message, PROTOCOL), Is::Equal, &[number]);
            compare(payload(message, TRANSPORT, 2, 2), Is::Equal, &port.to_be_bytes())
        }
        Part::Known => conntrack(message, STATE, ESTABLISHED | RELATED),
        Part::Redirected => conntrack(message, STATUS, DESTINATION_CHANGED),
        Part::Redirect(address, port) => redirect(message, *address, *port),
        Part::Masquerade => expression(message, "masq", |message| message),
        Part::Drop => verdict(message, DROP, None),
        Part::Accept => verdict(message, ACCEPT, None),
        Part::Jump(chain) => verdict(message, JUMP, Some(chain.name())),
    }
}

fn expression(message: Message, name: &str, fill: impl FnOnce(Message) -> Message) -> Message {
    message.nest(ELEMENT, |message| message.text(NAME, name).nest(DATA, fill))
}

/// Loads a property of the packet: NFTA_META_DREG, NFTA_META_KEY.
fn meta(message: Message, key: u32) -> Message {
    expression(message, "meta", |message| message.big_endian(1, FIRST).big_endian(2, key))
}

/// Ends the rule unless the register's value is as said: NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA.
fn compare(message: Message, is: Is, value: &[u8]) -> Message {
    expression(message, "cmp", |message| {
        message.big_endian(1, FIRST).big_endian(2, is as u32).nest(3, |message| message.bytes(1, value))
    })
}

/// Loads bytes of a header: NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN.
fn payload(message: Message, base: u32, offset: u32, length: u32) -> Message {
    expression(message, "payload", |message| {
        message.big_endian(1, FIRST).big_endian(2, base).big_endian(3, offset).big_endian(4, length)
    })
}

/// Keeps the bits of a mask: NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR.
fn mask(message: Message, mask: &[u8]) -> Message {
    let length = u32::try_from(mask.len()).expect("it fits into a register");
    expression(message, "bitwise", |message| {
        message
            .big_endian(1, FIRST)
            .big_endian(2, FIRST)
            .big_endian(3, length)
            .nest(4, |message| message.bytes(1, mask))
            .nest(5, |message| message.bytes(1, &vec![0; mask.len()]))
    })
}

fn family(message: Message, family: u8) -> Message {
    compare(meta(message, FAMILY), Is::Equal, &[family])
}

/// One of a packet's two addresses.
#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

fn address(message: Message, block: Block, end: End, is: Is) -> Message {
    let (bytes, of_family, offset) = match (block.address, end) {
        (IpAddr::V4(address), End::Source) => (address.octets().to_vec(), V4, 12),
        (IpAddr::V4(address), End::Destination) => (address.octets().to_vec(), V4, 16),
        (IpAddr::V6(address), End::Source) => (address.octets().to_vec(), V6, 8),
        (IpAddr::V6(address), End::Destination) => (address.octets().to_vec(), V6, 24),
    };
    let length = u32::try_from(bytes.len()).expect("an address is short");
    let mut message = payload(family(message, of_family), NETWORK, offset, length);
    if usize::from(block.prefix) < bytes.len() * 8 {
        message = mask(message, &prefix_mask(block.prefix, bytes.len()));
    }
    compare(message, is, &bytes)
}

fn prefix_mask(prefix: u8, length: usize) -> Vec<u8> {
    let bits = |index: usize| usize::from(prefix).saturating_sub(index * 8).min(8);
    (0..length).map(|index| u8::try_from(0xff00_u16 >> bits(index) & 0xff).expect("it is masked")).collect()
}

/// Ends the rule unless one of the bits is set in what is known of the packet's connection: NFTA_CT_DREG, NFTA_CT_KEY.
fn conntrack(message: Message, key: u32, bits: u32) -> Message {
    let message = expression(message, "ct", |message| message.big_endian(1, FIRST).big_endian(2, key));
    compare(mask(message, &bits.to_ne_bytes()), Is::Different, &[0; 4])
}

/// Puts a value into a register: NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA.
fn immediate(message: Message, register: u32, value: &[u8]) -> Message {
    expression(message, "immediate", |message| {
        message.big_endian(1, register).nest(2, |message| message.bytes(1, value))
    })
}

fn redirect(message: Message, address: IpAddr, port: u16) -> Message {
    let (bytes, family) = match address {
        IpAddr::V4(address) => (address.octets().to_vec(), V4),
        IpAddr::V6(address) => (address.octets().to_vec(), V6),
    };
    let message = immediate(message, FIRST, &bytes);
    let message = immediate(message, SECOND, &port.to_be_bytes());
    // NFTA_NAT_TYPE: NFT_NAT_DNAT, NFTA_NAT_FAMILY, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN.
    expression(message, "nat", |message| {
        message.big_endian(1, 1).big_endian(2, u32::from(family)).big_endian(3, FIRST).big_endian(5, SECOND)
    })
}

/// Decides about the packet: NFTA_DATA_VERDICT with NFTA_VERDICT_CODE and NFTA_VERDICT_CHAIN.
fn verdict(message: Message, code: i32, chain: Option<&str>) -> Message {
    expression(message, "immediate", |message| {
        message.big_endian(1, VERDICT).nest(2, |message| {
            message.nest(2, |message| {
                let message = message.big_endian(1, code.cast_unsigned());
                match chain {
                    Some(chain) => message.text(2, chain),
                    None => message,
                }
            })
        })
    })
}

fn link_name(name: &str) -> [u8; LINK_NAME] {
    let mut bytes = [0; LINK_NAME];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// Accepts what comes or goes by the links of pods, as the rules that a warning names do.
#[cfg(test)]
pub(crate) fn accept_pods(message: Message, key: u32) -> Message {
    let message = compare(meta(message, key), Is::Equal, super::rules::VETHS.as_bytes());
    part(message, &Part::Accept)
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn masks_have_as_many_bits_as_the_prefix() {
        assert_eq!(prefix_mask(8, 4), [255, 0, 0, 0]);
        assert_eq!(prefix_mask(10, 4), [255, 0xc0, 0, 0]);
        assert_eq!(prefix_mask(18, 4), [255, 255, 0xc0, 0]);
    }

    #[test]
    fn a_part_has_the_kernels_layout() {
        let bytes = part(Message::new(0, 0, &[]), &Part::Drop).finish(0)[16..].to_vec();
        let expected = [
            &[48, 0, 1, 0x80][..],
            &[14, 0, 1, 0],
            b"immediate\0\0\0",
            &[28, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 0],
            &[16, 0, 2, 0x80],
            &[12, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 0],
        ];
        assert_eq!(bytes, expected.concat());

        let bytes = part(Message::new(0, 0, &[]), &Part::Ipv6).finish(0)[16..].to_vec();
        let expected = [
            &[36, 0, 1, 0x80][..],
            &[9, 0, 1, 0, b'm', b'e', b't', b'a', 0, 0, 0, 0],
            &[20, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 1],
            &[8, 0, 2, 0, 0, 0, 0, 15],
            &[44, 0, 1, 0x80],
            &[8, 0, 1, 0, b'c', b'm', b'p', 0],
            &[32, 0, 2, 0x80],
            &[8, 0, 1, 0, 0, 0, 0, 1],
            &[8, 0, 2, 0, 0, 0, 0, 0],
            &[12, 0, 3, 0x80],
            &[5, 0, 1, 0, 10, 0, 0, 0],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
