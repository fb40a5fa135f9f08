//! Where to listen, as people write it.

use std::net::{SocketAddr, ToSocketAddrs as _};

/// Reads `ADDRESS:PORT`. A name is looked up; of several addresses it is the first IPv4 one, so that `localhost` means
/// what 127.0.0.1 means.
///
/// # Errors
/// A sentence that says how to write it.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    const FORMS: &str =
        "give ADDRESS:PORT, such as 127.0.0.1:8080, [::1]:8080, localhost:8080, or 0.0.0.0:8080 for all";
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {}
        _ => return Err(FORMS.to_owned()),
    }
    let found: Vec<SocketAddr> = match text.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Err(format!("the name can't be looked up ({error}); {FORMS}")),
    };
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("the name has no address; {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_name_with_a_port() {
        assert_eq!(listen_address("[::1]:9"), Ok(([0, 0, 0, 0, 0, 0, 0, 1], 9).into()));
        assert_eq!(listen_address("localhost:8080"), Ok(([127, 0, 0, 1], 8080).into()));
        for bad in ["8080", ":8080", "localhost", "localhost:http", "127.0.0.1:65536", ""] {
            assert!(listen_address(bad).unwrap_err().contains("127.0.0.1:8080"), "{bad}");
        }
    }
}
