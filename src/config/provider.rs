//! Host → provider: which rules hold for an upstream that does not say so itself.

use super::{BaseUrl, url};
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
const SELF_HOSTED: [&str; 6] = ["litellm", "llama.cpp", "lmstudio", "ollama", "sglang", "vllm"];

/// Lists the servers among them that load a model when it is asked for, which takes minutes, with the ports that they listen on unless
/// told otherwise: <https://docs.ollama.com/faq>, <https://lmstudio.ai/docs/developer>,
/// <https://github.com/ggml-org/llama.cpp/tree/master/tools/server>.
const LOADS_ON_DEMAND: [(u16, &str); 3] = [(11434, "ollama"), (1234, "lmstudio"), (8080, "llama.cpp")];

/// Whether a provider's first answer may take as long as loading a model does.
pub(super) fn loads_on_demand(provider: &str) -> bool {
    LOADS_ON_DEMAND.iter().any(|&(_, name)| name == provider)
}

/// Returns the provider at `url`, by its host, or by its port where the host is nobody's.
pub(super) fn of(url: &BaseUrl) -> Option<&'static str> {
    let by_port = || {
        LOADS_ON_DEMAND
            .iter()
            .find(|&&(port, _)| !url.https && port == url.port)
    };
    of_host(&url.host).or_else(|| by_port().map(|&(_, provider)| provider))
}

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
        Ok(url) => Ok(of(&url)),
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
