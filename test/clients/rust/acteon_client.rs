//! The part of the gateway's Rust SDK that replays: the same names, the same
//! requests, and answers read as strictly.  The SDK itself stands on reqwest.

use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Debug)]
pub enum Error {
    /// The server was not reached.
    Connection(String),
    /// The server answered with a status that is no success.
    Http { status: u16, message: String },
    /// The answer is not what it should be.
    Deserialization(String),
    Configuration(String),
}

impl Error {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Http { status, .. } => *status >= 500 || *status == 408,
            Self::Deserialization(_) | Self::Configuration(_) => false,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connection(message) => write!(f, "connection error: {}", message),
            Self::Http { status, message } => write!(f, "HTTP {}: {}", status, message),
            Self::Deserialization(message) => write!(f, "failed to deserialize response: {}", message),
            Self::Configuration(message) => write!(f, "configuration error: {}", message),
        }
    }
}

impl std::error::Error for Error {}

#[derive(Debug, Default, Clone)]
pub struct ReplayQuery {
    pub namespace: Option<String>,
    pub tenant: Option<String>,
    pub provider: Option<String>,
    pub action_type: Option<String>,
    pub outcome: Option<String>,
    pub verdict: Option<String>,
    pub matched_rule: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub limit: Option<u32>,
}

#[derive(Debug, Clone)]
pub struct ReplayResult {
    pub original_action_id: String,
    pub new_action_id: String,
    pub success: bool,
    pub error: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ReplaySummary {
    pub replayed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub results: Vec<ReplayResult>,
}

/// What a field has to be; anything else, null as well, is an error.
fn required<'a, T>(data: &'a Value, name: &str, read: fn(&'a Value) -> Option<T>) -> Result<T, Error> {
    data.get(name).and_then(read).ok_or_else(|| Error::Deserialization(format!("{} in {}", name, data)))
}

impl ReplayResult {
    fn from_value(data: &Value) -> Result<Self, Error> {
        Ok(Self {
            original_action_id: required(data, "original_action_id", Value::as_str)?.to_string(),
            new_action_id: required(data, "new_action_id", Value::as_str)?.to_string(),
            success: required(data, "success", Value::as_bool)?,
            error: match data.get("error") {
                None | Some(Value::Null) => None,
                Some(_) => Some(required(data, "error", Value::as_str)?.to_string()),
            },
        })
    }
}

impl ReplaySummary {
    fn from_value(data: &Value) -> Result<Self, Error> {
        let results = required(data, "results", Value::as_array)?;
        Ok(Self {
            replayed: required(data, "replayed", Value::as_u64)? as usize,
            failed: required(data, "failed", Value::as_u64)? as usize,
            skipped: required(data, "skipped", Value::as_u64)? as usize,
            results: results.iter().map(ReplayResult::from_value).collect::<Result<_, _>>()?,
        })
    }
}

impl ReplayQuery {
    fn to_params(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        [
            ("namespace", &self.namespace),
            ("tenant", &self.tenant),
            ("provider", &self.provider),
            ("action_type", &self.action_type),
            ("outcome", &self.outcome),
            ("verdict", &self.verdict),
            ("matched_rule", &self.matched_rule),
            ("from", &self.from),
            ("to", &self.to),
            ("limit", &limit),
        ]
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{}={}", name, escape(value, "*-._").replace("%20", "+"))))
        .collect::<Vec<_>>()
        .join("&")
    }
}

/// Escape all but letters, digits and some more.
fn escape(text: &str, kept: &str) -> String {
    text.bytes()
        .map(|byte| match byte as char {
            c if c.is_ascii_alphanumeric() || kept.contains(c) => c.to_string(),
            _ => format!("%{:02X}", byte),
        })
        .collect()
}

pub struct ActeonClientBuilder {
    base_url: String,
    timeout: Duration,
    api_key: Option<String>,
}

impl ActeonClientBuilder {
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into().trim_end_matches('/').to_string(), timeout: Duration::from_secs(30), api_key: None }
    }

    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    #[must_use]
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    pub fn build(self) -> Result<ActeonClient, Error> {
        let address = self.base_url.strip_prefix("http://").ok_or_else(|| Error::Configuration(self.base_url.clone()))?;
        Ok(ActeonClient { address: address.to_string(), timeout: self.timeout, api_key: self.api_key })
    }
}

pub struct ActeonClient {
    address: String,
    timeout: Duration,
    api_key: Option<String>,
}

impl ActeonClient {
    pub async fn replay_action(&self, action_id: &str) -> Result<ReplayResult, Error> {
        // The id is not escaped, but for what cannot stand in a path at all.
        let path = escape(&format!("/v1/audit/{}/replay", action_id), "/%:@!$&'()*+,;=-._~[]|^\\?");
        match self.post(&path).await? {
            (200..=299, body) => ReplayResult::from_value(&body?),
            (404, _) => Err(Error::Http { status: 404, message: format!("Audit record not found: {}", action_id) }),
            (422, _) => Err(Error::Http { status: 422, message: "No stored payload available for replay".to_string() }),
            (status, _) => Err(Error::Http { status, message: "Failed to replay action".to_string() }),
        }
    }

    pub async fn replay_audit(&self, query: &ReplayQuery) -> Result<ReplaySummary, Error> {
        let params = query.to_params();
        let path = if params.is_empty() { "/v1/audit/replay".to_string() } else { format!("/v1/audit/replay?{}", params) };
        match self.post(&path).await? {
            (200..=299, body) => ReplaySummary::from_value(&body?),
            (status, _) => Err(Error::Http { status, message: "Failed to replay audit".to_string() }),
        }
    }

    /// Post as reqwest does, with neither a body nor a length of it.
    async fn post(&self, path: &str) -> Result<(u16, Result<Value, Error>), Error> {
        let authorization = self.api_key.as_ref().map(|key| format!("authorization: Bearer {}\r\n", key)).unwrap_or_default();
        let request = format!("POST {} HTTP/1.1\r\n{}accept: */*\r\nhost: {}\r\n\r\n", path, authorization, self.address);
        let answer = tokio::time::timeout(self.timeout, self.exchange(request.as_bytes()));
        answer.await.map_err(|_| Error::Connection("timed out".to_string()))?.map_err(|e| Error::Connection(e.to_string()))
    }

    /// Send a request, and read an answer: its status, and its body as JSON.
    async fn exchange(&self, request: &[u8]) -> std::io::Result<(u16, Result<Value, Error>)> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let mut answer = Vec::new();
        stream.write_all(request).await?;
        let head = loop {
            match answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(end) => break String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(),
                None => read_more(&mut stream, &mut answer).await?,
            }
        };
        let header = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name)).map(str::trim);
        let end = head.len() + 4 + header("content-length:").and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
        while answer.len() < end {
            read_more(&mut stream, &mut answer).await?;
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = serde_json::from_slice(&answer[head.len() + 4..end]).map_err(|e| Error::Deserialization(e.to_string()));
        Ok((status, body))
    }
}

/// Read what there is; the end of the stream comes too early.
async fn read_more(stream: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<()> {
    match stream.read_buf(answer).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
