//! Host → provider: which rules hold for an upstream that does not say so itself.

use super::url;
use crate::notation::glob;

/// Patterns of hosts, from the providers' own API references. A provider may have several.
const HOSTS: [(&str, &str); 37] = [
    ("api.openai.com", "openai"),
    ("*.api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("openrouter.ai", "openrouter"),
    ("*.openrouter.ai", "openrouter"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("*-aiplatform.googleapis.com", "vertex"),
    ("*.openai.azure.com", "azure"),
    ("*.cognitiveservices.azure.com", "azure"),
    ("*.services.ai.azure.com", "azure"),
    ("bedrock-runtime.*.amazonaws.com", "bedrock"),
    ("bedrock-runtime-fips.*.amazonaws.com", "bedrock"),
    ("bedrock-mantle.*.api.aws", "bedrock"),
    ("api.deepseek.com", "deepseek"),
    ("api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.x.ai", "xai"),
    ("*.api.x.ai", "xai"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot"),
    ("api.moonshot.cn", "moonshot"),
    ("api.kimi.com", "moonshot"),
    ("open.bigmodel.cn", "zhipu"),
    ("api.z.ai", "zhipu"),
    ("dashscope.aliyuncs.com", "dashscope"),
    ("dashscope-*.aliyuncs.com", "dashscope"),
    ("api.siliconflow.cn", "siliconflow"),
    ("api.siliconflow.com", "siliconflow"),
    ("api.cerebras.ai", "cerebras"),
    ("gateway.ai.cloudflare.com", "cloudflare"),
];

/// Servers that people run themselves: no host identifies them, but `provider` may name them.
const SELF_HOSTED: [&str; 4] = ["litellm", "llama.cpp", "ollama", "vllm"];

/// The provider behind `host` (lower case).
pub(super) fn of_host(host: &str) -> Option<&'static str> {
    HOSTS
        .iter()
        .find(|(pattern, _)| glob::matches(pattern, host))
        .map(|&(_, provider)| provider)
}

/// The provider behind a base URL, by its host, as for an upstream that names none.
///
/// # Errors
/// Says what is wrong with the URL, to be read after its name.
pub fn of_url(url: &str) -> Result<Option<&'static str>, String> {
    match url::parse(url) {
        Ok(url) => Ok(of_host(&url.host)),
        Err(complaint) => Err(complaint.reason),
    }
}

/// Every name that `provider` may have without a warning.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = HOSTS.iter().map(|&(_, provider)| provider).chain(SELF_HOSTED).collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_its_provider() {
        for (host, provider) in [
            ("api.openai.com", Some("openai")),
            ("eu.api.openai.com", Some("openai")),
            ("my-resource.openai.azure.com", Some("azure")),
            ("europe-west4-aiplatform.googleapis.com", Some("vertex")),
            ("bedrock-runtime.us-east-1.amazonaws.com", Some("bedrock")),
            ("dashscope-intl.aliyuncs.com", Some("dashscope")),
            ("openai.com.example.org", None),
            ("api.openai.com.example.org", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(of_host(host), provider, "{host}");
        }
    }
}
