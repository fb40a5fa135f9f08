//! Who may ask a Weir that asks for no key: programs on this machine, and no web page.
//!
//! A page in the user's browser can reach loopback too. Two tricks are stopped here: a name of the page's own that
//! resolves to 127.0.0.1 (then `Host` is that name), and a plain cross-site request (then `Origin` is the page's).

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;

use crate::problem::Problem;

/// Refuses a request that was not addressed to loopback, or comes from a page that isn't on loopback.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(HOST).iter().map(|value| value.to_str().ok());
    // HTTP/2 has the authority in the request line and usually no Host.
    let host = match (request.uri().authority(), hosts.next(), hosts.next()) {
        (Some(authority), None, _) => Some(authority.as_str()),
        (_, Some(host), None) => host,
        _ => None,
    };
    if !host.is_some_and(is_loopback) {
        return Err(Problem::forbidden(
            "host_refused",
            "without keys (--open) only requests to localhost, 127.0.0.1 or [::1] are answered",
        ));
    }
    for origin in request.headers().get_all(ORIGIN) {
        let authority = origin
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")));
        if !authority.is_some_and(is_loopback) {
            let detail = "without keys (--open) requests from web pages of other hosts are refused";
            return Err(Problem::forbidden("origin_refused", detail));
        }
    }
    Ok(())
}

fn is_loopback(authority: &str) -> bool {
    if authority.contains('@') {
        return false;
    }
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        Ok(IpAddr::V4(ip)) => ip.is_loopback(),
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn code(uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(Body::empty()).unwrap()).err().map(|problem| problem.code())
    }

    #[test]
    fn answers_loopback_only() {
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:80", "[::1]", "[::ffff:127.0.0.1]"]
        {
            assert_eq!(code("/", &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::2]", "evil@localhost", "0.0.0.0:80"]
        {
            assert_eq!(code("/", &[("host", host)]), Some("host_refused"), "{host}");
        }
        assert_eq!(code("/", &[]), Some("host_refused"));
        assert_eq!(code("/", &[("host", "localhost"), ("host", "evil.example")]), Some("host_refused"));
        assert_eq!(code("http://localhost:8080/", &[]), None);
        assert_eq!(code("http://evil.example/", &[]), Some("host_refused"));
    }

    #[test]
    fn refuses_pages_from_elsewhere() {
        for origin in ["http://localhost:3000", "http://127.0.0.1:8080", "https://[::1]"] {
            assert_eq!(code("/", &[("host", "localhost"), ("origin", origin)]), None, "{origin}");
        }
        for origin in ["null", "http://evil.example", "http://localhost.evil.example", "file://localhost", "localhost"]
        {
            assert_eq!(code("/", &[("host", "localhost"), ("origin", origin)]), Some("origin_refused"), "{origin}");
        }
    }
}
