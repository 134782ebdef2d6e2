//! One request, one answer: plain HTTP/1.1 with a limit on everything. The only file that names the `minreq` crate.
//!
//! No connection is kept, no redirection followed, no environment variable read.

use super::error::MlflowError;
use minreq::{Method, Request};
use serde_json::Value;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long a question may take, from the connection to the last byte of its answer, unless somebody says otherwise.
const SECONDS: u64 = 30;
/// What an upload may take for each MiB beyond that.
const UPLOAD_SECONDS_PER_MIB: u64 = 2;
/// The longest answer that is read. Those of MLflow to what is asked here have some thousand bytes.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What minreq 3.0 makes of an answer without a status: a status of 503, for this reason.
const NO_STATUS: &str = "Server did not provide a status line";
/// How much of an answer that is none of MLflow's is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// A server, by its address.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// `http://host:port/prefix`, without `/` at the end.
    base: String,
    seconds: u64,
}

impl Server {
    /// The server at this address; nothing is sent.
    pub(super) fn new(url: &str) -> Result<Self, MlflowError> {
        let wrong = |why| MlflowError::Address { url: url.to_owned(), why };
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if scheme.as_deref() == Some("https") {
            return Err(MlflowError::Tls { url: url.to_owned() });
        }
        let rest =
            url.strip_prefix("http://").ok_or_else(|| wrong("it does not begin with http://"))?;
        if !rest.chars().all(|c| c.is_ascii_graphic()) {
            return Err(wrong("only printed ASCII characters make an address"));
        }
        if rest.contains(['?', '#', '@']) {
            return Err(wrong("it may hold no login, no `?` and no `#`"));
        }
        let place = rest.split('/').next().unwrap_or_default();
        let (host, port) = place.split_once(':').unwrap_or((place, "80"));
        if host.is_empty() || host.starts_with('[') {
            return Err(wrong("it needs a host, by its name or its IPv4 address"));
        }
        if port.parse::<u16>().is_err() {
            return Err(wrong("the port is a number up to 65535"));
        }
        Ok(Self { base: url.trim_end_matches('/').to_owned(), seconds: SECONDS })
    }

    /// The same with another limit for a question, at least a second.
    pub(super) fn patient(self, seconds: u64) -> Self {
        Self { seconds: seconds.max(1), ..self }
    }

    /// Its address.
    pub(super) fn address(&self) -> &str {
        &self.base
    }

    /// Asks with query parameters.
    pub(super) fn get(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Answer, MlflowError> {
        let mut mark = '?';
        let mut url = format!("{}{path}", self.base);
        for (key, value) in parameters {
            let _ = write!(url, "{mark}{key}={}", encoded(value, ""));
            mark = '&';
        }
        self.send(Method::Get, &url, None)
    }

    /// Sends JSON.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, MlflowError> {
        let body = ("application/json", body.to_string().into_bytes());
        self.send(Method::Post, &format!("{}{path}", self.base), Some(body))
    }

    /// Puts bytes at `path` and below it at `name`, which may hold anything.
    pub(super) fn put(&self, path: &str, name: &str, bytes: &[u8]) -> Result<(), MlflowError> {
        let body = ("application/octet-stream", bytes.to_vec());
        let url = format!("{}{path}{}", self.base, encoded(name, "/"));
        self.send(Method::Put, &url, Some(body)).map(drop)
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Answer, MlflowError> {
        let request = format!("{method} {}", url.split('?').next().unwrap_or_default());
        let mib = body.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64 / (1024 * 1024));
        let seconds = self.seconds.saturating_add(UPLOAD_SECONDS_PER_MIB * mib);
        let mut asked = Request::new(method, url)
            .with_timeout(seconds)
            .with_follow_redirects(false)
            .with_max_headers_size(HEAD_BYTES_MAX)
            .with_header("User-Agent", concat!("gleaner/", env!("CARGO_PKG_VERSION")))
            .with_header("Accept", "application/json")
            .with_header("Connection", "close");
        if let Some((kind, bytes)) = body {
            asked = asked.with_header("Content-Type", kind).with_body(bytes);
        }
        match exchange(asked) {
            Err(source) => Err(MlflowError::Unanswered { request, seconds, source }),
            Ok((_, body)) if body.len() as u64 > ANSWER_BYTES_MAX => {
                let what = format!("the answer has more than {ANSWER_BYTES_MAX} bytes");
                Err(MlflowError::Foreign { request, what })
            }
            Ok((200..=299, body)) => Ok(Answer { request, body }),
            Ok((status, body)) => Err(refused(request, status, &body)),
        }
    }
}

/// Sends a request and reads status and body of the answer, or how the body begins.
fn exchange(request: Request) -> Result<(u16, Vec<u8>), Box<dyn Error + Send + Sync>> {
    let exchange = || -> Result<(u16, Vec<u8>), Box<dyn Error + Send + Sync>> {
        let mut answer = request.send_lazy()?;
        if answer.reason_phrase == NO_STATUS {
            return Err("the connection ended without a status".into());
        }
        let mut body = Vec::new();
        answer.by_ref().take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body)?;
        Ok((answer.status_code, body))
    };
    // A head whose length is just that of the limit makes minreq 3.0 count below zero, where a build checks for that.
    catch_unwind(AssertUnwindSafe(exchange))
        .unwrap_or_else(|_| Err("the answer has a head that cannot be read".into()))
}

/// What a status beyond the two hundreds means.
fn refused(request: String, status: u16, body: &[u8]) -> MlflowError {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let code = text("error_code");
    let message = match (code.as_str(), text("message")) {
        ("", message) if message.is_empty() => shown(body),
        ("", message) => message,
        (code, message) => format!("{code}: {message}"),
    };
    MlflowError::Refused { request, status, code, message }
}

/// How a text begins, on one line.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.chars().count() {
        0 => "without a word".to_owned(),
        1..=SHOWN_CHARS_MAX => line,
        _ => line.chars().take(SHOWN_CHARS_MAX).chain("...".chars()).collect(),
    }
}

/// A text as a part of an address: all but letters, digits, `-._~` and `plain` is written in hex.
fn encoded(text: &str, plain: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || plain.contains(c) {
            encoded.push(c);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// What a server said to a request that it granted.
#[derive(Debug)]
pub(super) struct Answer {
    request: String,
    body: Vec<u8>,
}

impl Answer {
    /// The whole answer.
    pub(super) fn json(&self) -> Result<Value, MlflowError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.foreign(format!("no JSON ({error}): {}", shown(&self.body))))
    }

    /// The text at a place, for example `/run/info/run_id`.
    pub(super) fn text(&self, place: &str) -> Result<String, MlflowError> {
        let json = self.json()?;
        let text = json.pointer(place).and_then(Value::as_str).map(ToOwned::to_owned);
        text.ok_or_else(|| self.foreign(format!("{place} is missing in: {}", shown(&self.body))))
    }

    fn foreign(&self, what: String) -> MlflowError {
        MlflowError::Foreign { request: self.request.clone(), what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_or_refused_with_the_way_out() {
        for url in ["http://127.0.0.1:5000", "http://mlflow", "http://a.b:80/prefix/"] {
            assert_eq!(Server::new(url).unwrap().address(), url.trim_end_matches('/'));
        }
        let refused = |url| Server::new(url).unwrap_err().to_string();
        for url in ["https://mlflow.example", "HTTPS://mlflow.example"] {
            let told = refused(url);
            assert!(told.contains("proxy") && told.contains("http://127.0.0.1:PORT"), "{told}");
        }
        for url in [
            "",
            "mlflow",
            "sqlite:///mlflow.db",
            "http://",
            "http:///x",
            "http://:5000",
            "http://me:secret@host",
            "http://host:99999",
            "http://host:",
            "http://[::1]:5000",
            "http://host/a b",
            "http://host/\r\nX: y",
            "http://host?x=y",
            "http://h\u{f6}st",
        ] {
            let told = refused(url);
            assert!(told.ends_with("one looks like http://127.0.0.1:5000"), "{url:?}: {told}");
        }
    }

    #[test]
    fn no_text_leaves_its_place_in_an_address() {
        assert_eq!(encoded("tags.`a` = 'b&c'\r\n", ""), "tags.%60a%60%20%3D%20%27b%26c%27%0D%0A");
        assert_eq!(encoded("1/\u{e4}?#", "/"), "1/%C3%A4%3F%23");
    }

    #[test]
    fn an_answer_is_shown_by_its_beginning() {
        assert_eq!(shown(b" \n"), "without a word");
        assert_eq!(shown(b"<html>\n <p>no"), "<html> <p>no");
        assert_eq!(shown(&[b'x'; 4000]).len(), SHOWN_CHARS_MAX + 3);
    }
}
