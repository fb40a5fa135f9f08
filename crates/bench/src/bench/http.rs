//! HTTP/1.1 over one kept connection, as cheap as it can be: the generator shares the cores with what it measures.
//!
//! It understands what Weir answers (`content-length` always) and nothing more.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MOST_HEAD: usize = 64 * 1024;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer; the body is borrowed until the next request.
pub(crate) struct Answer<'c> {
    pub(crate) status: u16,
    pub(crate) head: &'c [u8],
    pub(crate) body: &'c [u8],
}

impl Answer<'_> {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = std::str::from_utf8(self.head).ok()?.split("\r\n");
        let mut headers = lines.filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Connection {
    pub(crate) async fn open(at: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(at).await.with_context(|| format!("connect to {at}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request that is written out whole, and reads its answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.received.clear();
        self.stream.write_all(request).await.context("send a request")?;
        let (status, head, body) = loop {
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the server closed the connection");
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                let (status, length) = read_head(&self.received[..end])?;
                break (status, end + 4, length);
            }
            ensure!(self.received.len() < MOST_HEAD, "an answer without end of its head");
        };
        while self.received.len() < head + body {
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the server closed the connection");
        }
        Ok(Answer { status, head: &self.received[..head], body: &self.received[head..head + body] })
    }

    /// Sends a request whose answer is a stream of chunks; answers how many bytes and lines it was.
    pub(crate) async fn export(&mut self, request: &[u8]) -> Result<(u64, u64)> {
        self.received.clear();
        self.stream.write_all(request).await.context("send a request")?;
        let mut at = self.read_to(0, b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&self.received[..at]).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
        let (mut bytes, mut lines) = (0, 0);
        loop {
            let end = self.read_to(at, b"\r\n").await?;
            let size = std::str::from_utf8(&self.received[at..end - 2]).context("the size of a chunk")?;
            let size = usize::from_str_radix(size, 16).context("the size of a chunk")?;
            while self.received.len() < end + size + 2 {
                ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the answer was broken off");
            }
            let chunk = &self.received[end..end + size];
            bytes += size as u64;
            lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.received.drain(..end + size + 2);
            at = 0;
            if size == 0 {
                return Ok((bytes, lines));
            }
        }
    }

    /// Receives until `what` is there from a place on; answers where it ends.
    async fn read_to(&mut self, from: usize, what: &[u8]) -> Result<usize> {
        loop {
            if let Some(found) = find(&self.received[from..], what) {
                return Ok(from + found + what.len());
            }
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the answer was broken off");
        }
    }

    /// Sends a request made of its parts, and reads an answer that must be a success.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self.send(&request(method, path, key, body.as_bytes())).await?;
        if !(200..300).contains(&answer.status) {
            bail!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(answer.body));
        }
        if answer.body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(answer.body)?) }
    }

    /// The text at a path that needs no key.
    pub(crate) async fn text(&mut self, path: &str) -> Result<String> {
        let answer = self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
        ensure!(answer.status == 200, "GET {path}: {}", answer.status);
        Ok(String::from_utf8_lossy(answer.body).into_owned())
    }
}

/// A request written out whole.
pub(crate) fn request(method: &str, path: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut out =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n").into_bytes();
    if !body.is_empty() {
        out.extend_from_slice(b"content-type: application/json\r\n");
    }
    if !body.is_empty() || method != "GET" {
        out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Status and length of the body.
fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let text = std::str::from_utf8(head).context("an answer's head")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("an answer's first line")?;
    let status = status.parse().context("an answer's status")?;
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok((status, value.trim().parse().context("content-length")?));
        }
    }
    ensure!(status == 204, "an answer without content-length");
    Ok((status, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_and_length() {
        assert_eq!(read_head(b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\nx: y").unwrap(), (201, 12));
        assert_eq!(read_head(b"HTTP/1.1 204 No Content\r\nx: y").unwrap(), (204, 0));
        assert!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").is_err());
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        let text = String::from_utf8(request("POST", "/x", "k", b"{}")).unwrap();
        assert!(text.ends_with("content-length: 2\r\n\r\n{}"), "{text}");
        assert!(!String::from_utf8(request("GET", "/x", "k", b"")).unwrap().contains("content-length"));
    }
}
