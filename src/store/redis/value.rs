//! Conversions of the server's answers.

use bytes::Bytes;
use redis::Value;

/// Returns bytes, or `None` for nil and any other type.
pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        Value::SimpleString(text) => Some(text.into()),
        _ => None,
    }
}

pub(super) fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) | Value::Set(values) => Some(values),
        _ => None,
    }
}

pub(super) fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn all_bytes(value: Value) -> Option<Vec<Bytes>> {
    array(value)?.into_iter().map(bytes).collect()
}
