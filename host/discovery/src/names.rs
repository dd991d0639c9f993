//! Validation of names, shared by grants and capabilities.

/// Length of a DNS name without its final dot, in bytes (RFC 1035, section 2.3.4, less the
/// length octets of first label and root).
const DNS_NAME_BYTES_MAX: usize = 253;
/// Length of a DNS label, and of a name in Kubernetes (RFC 1123 label), in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// Whether `text`, without a final dot, is the DNS name of a host or a service: letters,
/// digits, `_`, and `-` within a label.
pub fn is_dns_name(text: &str) -> bool {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= DNS_NAME_BYTES_MAX && text.split('.').all(|label| is_label(label, is_valid))
}

/// Whether `text` is a name that the Kubernetes API accepts (RFC 1123 label).
pub(crate) fn is_kubernetes_name(text: &str) -> bool {
    is_label(text, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_label(text: &str, is_valid: impl Fn(u8) -> bool) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_valid)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
