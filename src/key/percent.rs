//! Percent-encoding (RFC 3986 §2.1): which bytes of a URL need it, and its one spelling.

/// A decoded name or value of a parameter: percent-decoded, with `+` as a space. Invalid
/// percent-encodings stay.
pub(crate) fn decode_parameter(name: &str) -> String {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        decoded.push(match (first, escape(tail)) {
            (b'+', _) => b' ',
            (b'%', Some(byte)) => {
                rest = &tail[2..];
                byte
            }
            (byte, _) => byte,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Decodes characters that need no encoding (RFC 3986 §2.3), encodes characters that are not
/// allowed, and writes hex digits in upper case.
pub(super) fn push_normal(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    if bytes.iter().all(|&byte| byte != b'%' && allowed(byte)) {
        out.push_str(text);
        return;
    }
    let encode = |out: &mut String, byte| out.extend(encoded(byte).map(char::from));
    let mut position = 0;
    while position < bytes.len() {
        let byte = bytes[position];
        position += 1;
        match byte {
            b'%' => match escape(&bytes[position..]) {
                Some(byte) => {
                    position += 2;
                    if unreserved(byte) {
                        out.push(byte as char);
                    } else {
                        encode(out, byte);
                    }
                }
                None => encode(out, b'%'),
            },
            byte if allowed(byte) => out.push(byte as char),
            byte => encode(out, byte),
        }
    }
}

/// A byte in percent-encoding.
pub(super) fn encoded(byte: u8) -> [u8; 3] {
    let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

/// The byte that two hex digits stand for.
pub(super) fn escape(digits: &[u8]) -> Option<u8> {
    let digit = |position: usize| (*digits.get(position)? as char).to_digit(16);
    Some((digit(0)? << 4 | digit(1)?) as u8)
}

const fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a byte may appear unencoded in a path or a query: unreserved characters, sub-delims, and
/// the delimiters of these two parts.
pub(super) fn allowed(byte: u8) -> bool {
    const ALLOWED: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < table.len() {
            table[byte] = unreserved(byte as u8)
                || matches!(
                    byte as u8,
                    b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@' | b'/' | b'?'
                );
            byte += 1;
        }
        table
    };
    ALLOWED[usize::from(byte)]
}
