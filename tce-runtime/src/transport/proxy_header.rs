//! The PROXY protocol: a balancer that forwards bytes says at the beginning which client
//! they come from (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The shortest header: `PROXY UNKNOWN` with the end of the line. No more is read before
/// the version is known, so that nothing behind the header is.
const SHORTEST: usize = 15;
/// The longest header of version 1, with the end of the line.
const LONGEST_V1: usize = 107;
const PREFIX_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and the length of the rest.
const FIXED_V2: usize = 16;
/// The longest rest of a header of version 2: addresses and the fields behind them, of which
/// balancers send less than 1 KiB.
const LONGEST_REST: usize = 4096;

/// Reads a header of version 1 or 2, and nothing behind it. Returns the address of the
/// client, or `None` if the balancer names none, as in its health checks.
///
/// # Errors
/// The first bytes are no such header: the peer is no balancer.
pub(super) async fn read(source: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; SHORTEST];
    source.read_exact(&mut head).await?;
    if head.starts_with(SIGNATURE_V2) {
        return read_v2(source, &head).await;
    }
    if !head.starts_with(PREFIX_V1) {
        return Err(invalid("it does not begin with a header"));
    }
    let mut line = head.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_V1 {
            return Err(invalid("the header is too long"));
        }
        line.push(source.read_u8().await?);
    }
    let line = std::str::from_utf8(&line).ok();
    let line = line.and_then(|line| parse_v1(line.trim_end_matches("\r\n")));
    line.ok_or_else(|| invalid("the header is malformed"))
}

/// The address in a line such as `PROXY TCP4 192.0.2.1 192.0.2.9 4711 443`; `None` for a
/// malformed one.
fn parse_v1(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let addresses = [words.next()?, words.next()?];
    let ports = [words.next()?, words.next()?];
    let is_decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_v4 = match family {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let [source, destination] = addresses.map(|address| address.parse::<IpAddr>().ok());
    let (source, destination) = (source?, destination?);
    let is_valid = source.is_ipv4() == is_v4
        && destination.is_ipv4() == is_v4
        && ports.into_iter().all(is_decimal)
        && words.next().is_none();
    let [port, other_port] = ports.map(|port| port.parse().ok());
    let (port, _): (u16, u16) = (port?, other_port?);
    is_valid.then(|| Some(SocketAddr::new(source, port)))
}

async fn read_v2(
    source: &mut (impl AsyncRead + Unpin),
    head: &[u8; SHORTEST],
) -> io::Result<Option<SocketAddr>> {
    let length = [head[SHORTEST - 1], source.read_u8().await?];
    let length = usize::from(u16::from_be_bytes(length));
    if length > LONGEST_REST {
        return Err(invalid("the header is too long"));
    }
    let mut rest = vec![0; length];
    source.read_exact(&mut rest).await?;
    let (command, family) = (head[FIXED_V2 - 4], head[FIXED_V2 - 3]);
    parse_v2(command, family, &rest).ok_or_else(|| invalid("the header is malformed"))
}

/// The address in a header of version 2; `None` for a malformed one.
fn parse_v2(command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    const UNSPECIFIED: u8 = 0x00;
    const TCP_OVER_V4: u8 = 0x11;
    const TCP_OVER_V6: u8 = 0x21;
    const UNIX_STREAM: u8 = 0x31;
    let address = match (command, family) {
        (LOCAL, _) | (PROXY, UNSPECIFIED | UNIX_STREAM) => return Some(None),
        (PROXY, TCP_OVER_V4) => {
            let [a, b, c, d, _, _, _, _, port @ .., _, _] = *rest.first_chunk::<12>()?;
            (IpAddr::from(Ipv4Addr::new(a, b, c, d)), port)
        }
        (PROXY, TCP_OVER_V6) => {
            let source = Ipv6Addr::from(*rest.first_chunk::<16>()?);
            let [port @ .., _, _] = *rest.get(32..)?.first_chunk::<4>()?;
            (IpAddr::from(source), port)
        }
        _ => return None,
    };
    let (address, port) = address;
    Some(Some(SocketAddr::new(address, u16::from_be_bytes(port))))
}

fn invalid(text: &str) -> io::Error {
    let text = format!("no PROXY header, which `proxy_protocol` demands: {text}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address, and the bytes behind the header.
    async fn read_all(bytes: &[u8]) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
        let mut source = bytes;
        let address = read(&mut source).await?;
        Ok((address, source.to_vec()))
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE_V2, &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn headers_of_both_versions_are_read_and_nothing_behind_them() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 9, 0x12, 0x67, 1, 187];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        v6[32..34].copy_from_slice(&4711_u16.to_be_bytes());
        let with_fields = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        for (header, address) in [
            (
                b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n".to_vec(),
                Some("192.0.2.1:4711"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n".to_vec(),
                Some("[2001:db8::1]:4711"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("192.0.2.1:4711")),
            (v2(0x21, 0x11, &with_fields), Some("192.0.2.1:4711")),
            (v2(0x21, 0x21, &v6), Some("[2001:db8::1]:4711")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x21, 0x00, &[]), None),
        ] {
            let stream = [&header[..], b"behind"].concat();
            let (found, rest) = read_all(&stream).await.unwrap();
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!((found, &rest[..]), (address, &b"behind"[..]), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {} 1 2\r\n", "1".repeat(200));
        let v4 = [192, 0, 2, 1, 192, 0, 2, 9, 0x12, 0x67, 1, 187];
        let mut too_long = v2(0x21, 0x11, &v4);
        too_long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.9 4711\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.9 +4711 443\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.9 70000 443\r\n",
            b"PROXY TCP4 2001:db8::1 192.0.2.9 4711 443\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.9 4711 443\r\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.9 4711 443\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\n",
            b"PROXY TCP4 \xff\xff 192.0.2.9 4711 443\r\n",
            long.as_bytes(),
            &v2(0x21, 0x11, &v4[..11]),
            &v2(0x21, 0x12, &v4),
            &v2(0x31, 0x11, &v4),
            &v2(0x22, 0x11, &v4),
            &too_long,
            b"PROXY",
            b"",
        ] {
            assert!(read_all(bytes).await.is_err(), "{bytes:?}");
        }
    }
}
