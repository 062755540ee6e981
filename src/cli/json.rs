//! JSON in and out of typed values.
//!
//! | JSON | value |
//! | --- | --- |
//! | `true` | bool |
//! | `7` | i64; a whole number that does not fit is refused, never rounded |
//! | `7.0`, `1e3` | f64 |
//! | `"text"` | string |
//! | `{"$bytes": "00ff"}` | bytes, in hexadecimal |
//! | `[1, "a"]` | list of the above |
//!
//! Invariant: what is printed reads back as the same value. A double that JSON has no number for
//! (an infinity), or that could be taken for a whole number that does not fit, is printed as
//! `{"$double": "inf"}`.

use serde_json::{Map, Value as Json, json};
use vatic_client::Record;
use vatic_core::value::{Fields, Scalar, Value};

/// Reads `FIELD=JSON`. Text that is not JSON is an error: quote strings.
pub(crate) fn assignment(text: &str) -> Result<(String, Value), String> {
    let (field, json) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not FIELD=JSON"))?;
    if field.is_empty() {
        return Err(format!("{text:?} names no field"));
    }
    let json: Json = serde_json::from_str(json).map_err(|error| {
        let quoted = format!("'{field}=\"{json}\"'");
        format!("field {field:?}: {json} is not JSON ({error}); a string needs quotes: {quoted}")
    })?;
    let value = value(&json).map_err(|error| format!("field {field:?}: {error}"))?;
    Ok((field.to_owned(), value))
}

pub(crate) fn value(json: &Json) -> Result<Value, String> {
    match json {
        Json::Array(items) => {
            items.iter().map(scalar).collect::<Result<Vec<_>, _>>().map(Value::List)
        }
        other => scalar(other).map(Value::One),
    }
}

/// Whether a whole number is out of an integer's range: 2 to the 63rd.
fn is_beyond_integers(double: f64) -> bool {
    double.is_finite() && double.abs() >= 9_223_372_036_854_775_808.0
}

fn scalar(json: &Json) -> Result<Scalar, String> {
    match json {
        Json::Bool(value) => Ok(Scalar::Bool(*value)),
        Json::Number(number) => match (number.as_i64(), number.is_f64(), number.as_f64()) {
            (Some(whole), ..) => Ok(Scalar::I64(whole)),
            // Whole numbers of more digits were read as doubles too: none of them is exact.
            (None, true, Some(double)) if is_beyond_integers(double) => Err(format!(
                "{number} does not fit a 64-bit signed integer; write {{\"$double\": \"…\"}}"
            )),
            (None, true, Some(double)) => Ok(Scalar::F64(double.to_bits())),
            _ => Err(format!("{number} does not fit a 64-bit signed integer")),
        },
        Json::String(text) => Ok(Scalar::String(text.clone())),
        Json::Object(object) => tagged(object),
        Json::Null => Err("null is no value; remove the field instead".to_owned()),
        Json::Array(_) => Err("a list holds no lists".to_owned()),
    }
}

fn tagged(object: &Map<String, Json>) -> Result<Scalar, String> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((tag, Json::String(text))), None) if tag == "$bytes" => {
            hex::decode(text).map(Scalar::Bytes).map_err(|error| format!("$bytes: {error}"))
        }
        (Some((tag, Json::String(text))), None) if tag == "$double" => {
            let double: f64 = text.parse().map_err(|error| format!("$double: {error}"))?;
            Ok(Scalar::F64(double.to_bits()))
        }
        _ => Err("an object must be {\"$bytes\": \"HEX\"} or {\"$double\": \"inf\"}".to_owned()),
    }
}

pub(crate) fn of_value(value: &Value) -> Json {
    match value {
        Value::One(scalar) => of_scalar(scalar),
        Value::List(items) => Json::Array(items.iter().map(of_scalar).collect()),
    }
}

pub(crate) fn of_fields(fields: &Fields) -> Json {
    Json::Object(fields.iter().map(|(name, value)| (name.clone(), of_value(value))).collect())
}

pub(crate) fn of_record(record: &Record) -> Json {
    json!({
        "key": record.key.to_string(),
        "version": record.version.0,
        "fields": of_fields(&record.fields),
    })
}

fn of_scalar(scalar: &Scalar) -> Json {
    match scalar {
        Scalar::Bool(value) => json!(value),
        Scalar::I64(value) => json!(value),
        Scalar::F64(bits) => {
            let double = f64::from_bits(*bits);
            let plain = double.is_finite() && !is_beyond_integers(double);
            if plain { json!(double) } else { json!({"$double": double.to_string()}) }
        }
        Scalar::String(text) => json!(text),
        Scalar::Bytes(bytes) => json!({"$bytes": hex::encode(bytes)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Value, String> {
        assignment(&format!("f={text}")).map(|(_, value)| value)
    }

    #[test]
    fn every_kind_of_value_reads_back_as_it_was_printed() {
        let values = [
            Value::from(true),
            Value::from(i64::MIN),
            Value::One(Scalar::F64(1.0f64.to_bits())),
            Value::One(Scalar::F64(0.1f64.to_bits())),
            Value::One(Scalar::F64(f64::INFINITY.to_bits())),
            Value::One(Scalar::F64(1e300f64.to_bits())),
            Value::from("text=with\"quotes"),
            Value::One(Scalar::Bytes(vec![0, 255])),
            Value::List(vec![Scalar::I64(1), Scalar::String("a".into()), Scalar::Bytes(vec![])]),
        ];
        for value in values {
            assert_eq!(parse(&of_value(&value).to_string()), Ok(value));
        }
    }

    #[test]
    fn whole_numbers_are_integers_and_others_doubles() {
        assert_eq!(parse("7"), Ok(Value::from(7)));
        assert_eq!(parse("7.0"), Ok(Value::One(Scalar::F64(7.0f64.to_bits()))));
        assert!(parse("9223372036854775808").unwrap_err().contains("64-bit"));
        assert!(parse("99999999999999999999").unwrap_err().contains("64-bit"));
    }

    #[test]
    fn unquoted_text_is_refused_and_the_quoted_form_shown() {
        assert!(parse("alice").unwrap_err().contains("f=\"alice\""));
        assert!(assignment("alice").unwrap_err().contains("FIELD=JSON"));
        assert!(assignment("=1").is_err());
    }

    #[test]
    fn null_nested_lists_and_foreign_objects_are_refused() {
        for text in ["null", "[[1]]", "{}", "{\"a\":1}", "{\"$bytes\":\"zz\"}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
