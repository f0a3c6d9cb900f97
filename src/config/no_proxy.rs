//! `NO_PROXY`: what is reached without a proxy, as other programs read it.

use std::net::IpAddr;

use super::BaseUrl;

/// Returns whether `list` has the host of `url`: `*`; a name, which stands for those below it too, with or without a dot in
/// front; an address; a network (`10.0.0.0/8`); each of them perhaps with a port.
pub(super) fn has(list: &str, url: &BaseUrl) -> bool {
    let entries = list.split([',', ' ']).map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .any(|entry| is_meant(entry, url))
}

fn is_meant(entry: &str, url: &BaseUrl) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(address) = url.host.parse::<IpAddr>() {
        if let Some((network, bits)) = entry.split_once('/') {
            let network = network.parse().ok().zip(bits.parse().ok());
            return network.is_some_and(|(network, bits)| is_within(address, network, bits));
        }
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        if let Ok(entry) = bare.parse::<IpAddr>() {
            return entry == address;
        }
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => match port.parse::<u16>() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        None => (entry, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    let below = url.host.strip_suffix(name);
    let is_host = !name.is_empty() && below.is_some_and(|below| below.is_empty() || below.ends_with('.'));
    is_host && port.is_none_or(|port| port == url.port)
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(address.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    // A shift by all bits there are is none.
    bits <= width && (address ^ network).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::super::url;
    use super::*;

    #[test]
    fn a_list_is_read_as_other_programs_read_it() {
        for (list, target, expected) in [
            ("", "http://a.example", false),
            ("*", "http://a.example", true),
            ("b.example, a.example", "http://a.example", true),
            ("example", "http://a.example", true),
            (".a.example", "http://a.example", true),
            ("*.example", "http://a.example", true),
            ("A.EXAMPLE", "http://a.example", true),
            ("ample", "http://a.example", false),
            ("x.a.example", "http://a.example", false),
            ("a.example:8000", "http://a.example:8000", true),
            ("a.example:8000", "http://a.example", false),
            ("10.1.2.3", "http://10.1.2.3:8000", true),
            ("10.1.2.3:8000", "http://10.1.2.3:8000", true),
            ("10.1.2.3:8001", "http://10.1.2.3:8000", false),
            ("10.0.0.0/8 192.168.0.0/16", "http://10.1.2.3", true),
            ("10.0.0.0/8", "http://11.1.2.3", false),
            ("0.0.0.0/0", "http://11.1.2.3", true),
            ("10.1.2.3/32", "http://10.1.2.3", true),
            ("10.0.0.0/33", "http://10.1.2.3", false),
            ("fd00::/8", "http://[fd00::1]", true),
            ("::1", "http://[::1]:80", true),
            ("[::1]", "http://[::1]", true),
            ("fd00::/8", "http://10.1.2.3", false),
            (",,", "http://a.example", false),
        ] {
            assert_eq!(has(list, &url::parse(target).unwrap()), expected, "{list}: {target}");
        }
    }
}
