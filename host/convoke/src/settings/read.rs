//! Reads files with a limit on their size.

use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use super::error::SettingsError;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Time to wait for the writer of a pipe, in seconds.
const PIPE_WAIT_S: u64 = 10;

/// Reads a configuration file.
pub(super) fn read_text(path: &Path) -> Result<String, SettingsError> {
    let unreadable = |why: String| SettingsError(format!("{}: {why}", path.display()));
    let bytes = read_bounded(path, FILE_BYTES_MAX)
        .map_err(|e| unreadable(format!("the configuration file cannot be read: {e}")))?;
    decode(bytes).ok_or_else(|| {
        unreadable(
            "the configuration file is neither UTF-8 nor in the encoding that it declares".into(),
        )
    })
}

/// Decodes a file by its byte order mark or its XML declaration (XML 1.0, appendix F), otherwise as
/// UTF-8. `None` when it is not in that encoding.
fn decode(bytes: Vec<u8>) -> Option<String> {
    /// Maximum length of a declaration, in bytes.
    const DECLARATION_BYTES_MAX: usize = 256;
    let marked = encoding_rs::Encoding::for_bom(&bytes).map(|(encoding, _)| encoding);
    let start = &bytes[..bytes.len().min(DECLARATION_BYTES_MAX)];
    let encoding = marked.or_else(|| {
        if start.starts_with(b"<\0?\0") {
            return Some(encoding_rs::UTF_16LE);
        }
        if start.starts_with(b"\0<\0?") {
            return Some(encoding_rs::UTF_16BE);
        }
        let start = start.strip_prefix(b"<?xml")?;
        let end = start.windows(2).position(|two| two == b"?>")?;
        let declaration = std::str::from_utf8(&start[..end]).ok()?;
        let (_, value) = declaration.split_once("encoding")?;
        let value = value.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        encoding_rs::Encoding::for_label(value[1..].split(quote).next()?.as_bytes())
    });
    match encoding {
        None => String::from_utf8(bytes).ok(),
        Some(encoding) => {
            let (text, _, is_wrong) = encoding.decode(&bytes);
            (!is_wrong).then(|| text.into_owned())
        }
    }
}

/// Reads a whole file of at most `bytes_max`, regardless of the size that the system reports. Waits
/// for the writer of a pipe, such as a shell's `<(command)`, for at most [`PIPE_WAIT_S`].
pub(crate) fn read_bounded(path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let is_pipe = std::fs::metadata(path)?.file_type().is_fifo();
    let path = path.to_owned();
    let read = move || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(std::io::Error::other(format!("it has more than {bytes_max} bytes")));
        }
        Ok(bytes)
    };
    if !is_pipe {
        return read();
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(read()));
    let wait = Duration::from_secs(PIPE_WAIT_S);
    receiver.recv_timeout(wait).unwrap_or_else(|_| {
        Err(std::io::Error::other(format!(
            "it is a pipe, and its writer did not finish within {PIPE_WAIT_S} s"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_read_as_a_file_is() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"secret").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(read_bounded(Path::new(&path), 6).unwrap(), b"secret");
    }

    #[test]
    fn other_encodings_are_read_as_declared() {
        let latin = b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>caf\xe9</a>".to_vec();
        assert!(decode(latin).unwrap().ends_with("<a>caf\u{e9}</a>"));
        let wide: Vec<u8> =
            "<?xml version=\"1.0\"?><a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(decode(wide.clone()).unwrap().ends_with("<a/>"));
        assert!(decode([&b"\xff\xfe"[..], &wide].concat()).unwrap().ends_with("<a/>"));
        assert_eq!(decode(b"name: caf\xe9".to_vec()), None);
        assert_eq!(decode("caf\u{e9}".into()).as_deref(), Some("caf\u{e9}"));
    }

    #[test]
    fn fuzz_encoding() {
        let wide: Vec<u8> =
            "<?xml version='1.0'?><a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let samples = [
            b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a>caf\xe9</a>".to_vec(),
            "<?xml encoding = \"UTF-8\"?><a>caf\u{e9}</a>".into(),
            [&b"\xff\xfe"[..], &wide].concat(),
            wide,
            b"\xef\xbb\xbfname: 1".to_vec(),
            b"<?xml encoding='?>".to_vec(),
        ];
        convoke_harness::check!(&samples, |bytes| {
            let text = decode(bytes.to_vec());
            // A byte of any encoding is at most one character of three bytes.
            assert!(text.is_none_or(|text| text.len() <= 3 * bytes.len()));
        });
    }
}
