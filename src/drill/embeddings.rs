//! `embeddings` (OpenAI's API reference). The vectors mean nothing, but the same text always gets the same one.

use serde_json::{Value, json};

use super::asked::Asked;

/// The length of a vector where the request names none: that of `text-embedding-3-small`.
const DIMENSIONS: usize = 1536;
const DIMENSIONS_MAX: usize = 4096;
/// OpenAI's own bound on the texts of one request.
const INPUTS_MAX: usize = 2048;

pub(crate) fn whole(asked: &Asked) -> Value {
    let dimensions = asked.body["dimensions"]
        .as_u64()
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(DIMENSIONS);
    let dimensions = dimensions.clamp(1, DIMENSIONS_MAX);
    // The SDKs ask for base64 unless told otherwise: little-endian 32-bit floats.
    let base64 = asked.body["encoding_format"] == "base64";
    let data: Vec<Value> = inputs(&asked.body["input"])
        .iter()
        .take(INPUTS_MAX)
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(&input.to_string(), dimensions);
            let embedding = if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                json!(base64_encoded(&bytes))
            } else {
                json!(vector)
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    json!({ "object": "list", "model": asked.model, "data": data,
        "usage": { "prompt_tokens": asked.input_tokens, "total_tokens": asked.input_tokens } })
}

/// A text or one list of token numbers is one input; a list of texts or of lists is several.
fn inputs(input: &Value) -> &[Value] {
    match input {
        Value::Array(items) if !items.first().is_some_and(Value::is_number) => items,
        one => std::slice::from_ref(one),
    }
}

/// A vector of length 1 drawn from the text (FNV-1a seeds a xorshift generator).
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }) | 1;
    let mut vector: Vec<f32> = (0..dimensions)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from(u16::try_from(state >> 48).unwrap_or(0)) / 32_768.0 - 1.0
        })
        .collect();
    let length = vector
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt()
        .max(f32::EPSILON);
    for value in &mut vector {
        *value /= length;
    }
    vector
}

/// RFC 4648 §4.
fn base64_encoded(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64_encoded(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn vectors_have_length_one_and_depend_on_the_text_alone() {
        let length: f32 = vector("a", 64).iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-4);
        assert_eq!(vector("a", 8), vector("a", 8));
        assert_ne!(vector("a", 8), vector("b", 8));
    }

    #[test]
    fn a_list_of_numbers_is_one_input() {
        assert_eq!(inputs(&json!("a")).len(), 1);
        assert_eq!(inputs(&json!([1, 2])).len(), 1);
        assert_eq!(inputs(&json!([[1, 2], [3]])).len(), 2);
        assert_eq!(inputs(&json!(["a", "b", "c"])).len(), 3);
    }
}
