//! The table: the first rule that applies names the class.
//!
//! It goes from the particular to the general: what one provider means by a signal that others use otherwise; codes
//! that have one meaning; money, which often comes dressed as a rate limit; the other classes' wording; types that say
//! little; the status. Conditions of a rule must all hold, and one entry of a list is enough.

use std::sync::LazyLock;

use super::Class::{self, *};
use super::pattern::Wordings;
use super::wording;

pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// Names that one provider goes by, as codes are written. Empty: any.
    pub(super) providers: &'static [&'static str],
    /// Squashed: lower case, letters and digits only. `*` leaves an end open.
    pub(super) codes: &'static [&'static str],
    pub(super) words: &'static [&'static str],
    pub(super) statuses: &'static [u16],
    /// See [`Verdict`](super::Verdict).
    pub(super) is_requests_own: bool,
}

/// The rules' wordings, ready to be looked for.
pub(super) static WORDINGS: LazyLock<Vec<Wordings>> =
    LazyLock::new(|| RULES.iter().map(|rule| Wordings::new(rule.words)).collect());

const ANY: Rule = Rule {
    name: "",
    class: ServerError,
    providers: &[],
    codes: &[],
    words: &[],
    statuses: &[],
    is_requests_own: false,
};

const GOOGLE: &[&str] = &["gemini*", "google*", "vertex*"];
const ZHIPU: &[&str] = &["zhipu*", "bigmodel*", "zai*"];
const DASHSCOPE: &[&str] = &["dashscope*", "aliyun*", "alibaba*", "bailian*", "qwen*"];

/// The statuses of answers that refuse a request, and 200, which may carry anything.
const REFUSED: &[u16] = &[200, 400, 403, 404, 405, 410, 415, 422, 501];

/// What a model is called.
const MODEL: &[&str] = &["model", "modèle", "模型", "モデル", "모델", "модел", "deployment"];

#[rustfmt::skip] // one readable table
pub(super) const RULES: &[Rule] = &[
    // ── One provider's meaning ─────────────────────────────────────────────────────────────────────────────────────
    // nginx's "client closed request", as Ollama and LiteLLM send it: nobody is left to fall back for.
    Rule { name: "client-closed-499", class: BadRequest, statuses: &[499], ..ANY },
    // https://openrouter.ai/docs/errors: a 402 that passes once running requests have settled.
    Rule {
        name: "openrouter-in-flight",
        class: RateLimited,
        codes: &["openrouterinflightbudget", "inflightbudgetexhausted"],
        ..ANY
    },
    // https://help.aliyun.com/zh/model-studio/error-code: a passing token limit, under OpenAI's code for an empty account.
    Rule {
        name: "dashscope-token-limit",
        class: RateLimited,
        providers: DASHSCOPE,
        codes: &["insufficientquota", "throttling*", "limitrequests", "limitburstrate"],
        ..ANY
    },
    // https://docs.bigmodel.cn/cn/api/api-code
    Rule {
        name: "zhipu-balance",
        class: OutOfCredits,
        providers: ZHIPU,
        codes: &["1113", "1308", "1309", "1310"],
        ..ANY
    },
    Rule { name: "zhipu-rate", class: RateLimited, providers: ZHIPU, codes: &["1302", "1303", "1304", "1313"], ..ANY },
    Rule {
        name: "zhipu-auth",
        class: Auth,
        providers: ZHIPU,
        codes: &["1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1220"],
        ..ANY
    },
    Rule { name: "zhipu-model", class: ModelNotFound, providers: ZHIPU, codes: &["1211", "1221", "1222"], ..ANY },
    Rule { name: "zhipu-context", class: ContextLength, providers: ZHIPU, codes: &["1261"], ..ANY },
    Rule { name: "zhipu-content", class: ContentPolicy, providers: ZHIPU, codes: &["1301"], ..ANY },
    Rule { name: "zhipu-overload", class: Overloaded, providers: ZHIPU, codes: &["1305", "1312"], ..ANY },
    // https://console.groq.com/docs/errors: flex tier at capacity. At Cohere: blocked output (its SDK's error classes).
    Rule { name: "groq-flex-498", class: Overloaded, providers: &["groq*"], statuses: &[498], ..ANY },
    Rule { name: "cohere-blocked-498", class: ContentPolicy, providers: &["cohere*"], statuses: &[498], ..ANY },
    // https://docs.fireworks.ai/guides/inference-error-codes: a suspended account.
    Rule { name: "fireworks-412", class: OutOfCredits, providers: &["fireworks*"], statuses: &[412], ..ANY },
    // ── The request's own faults ───────────────────────────────────────────────────────────────────────────────────
    // OpenAI's codes for one member of a request, and what others took over of them. Their messages quote what the client
    // wrote: a tool called `list_overdue_invoices` must not keep an upstream out, so they come before all wording.
    Rule {
        name: "parameter-code",
        class: BadRequest,
        codes: &[
            "invalidvalue", "invalidtype", "invalidfunctionparameters", "unknownparameter", "unsupportedparameter",
            "unsupportedvalue", "missingrequiredparameter", "*abovemaxvalue", "*belowminvalue",
        ],
        statuses: &[400, 422],
        ..ANY
    },
    // What another target or account made, and this one can't read. The codes are OpenAI's (Responses API).
    Rule {
        name: "foreign-state-code",
        class: ForeignState,
        codes: &["invalidencryptedcontent", "previousresponsenotfound"],
        ..ANY
    },
    Rule {
        name: "foreign-state-wording",
        class: ForeignState,
        words: wording::FOREIGN_STATE,
        statuses: REFUSED,
        ..ANY
    },
    // OpenRouter: nothing is left, whatever is asked.
    Rule { name: "affords-nothing", class: OutOfCredits, words: &["afford 0. ", "afford 0 ", "afford -"], ..ANY },
    // OpenRouter: the account has not enough for what this request may cost. A smaller one, or a free model, is served.
    Rule {
        name: "request-too-dear",
        class: OutOfCredits,
        words: wording::TOO_DEAR,
        is_requests_own: true,
        ..ANY
    },
    // The key, or the account's settings, rule out what this request asks for; other endpoints and models are served.
    Rule {
        name: "endpoint-scope",
        class: Auth,
        codes: &["missingscope*"],
        is_requests_own: true,
        ..ANY
    },
    Rule { name: "scope-wording", class: Auth, words: &["missing scope"], is_requests_own: true, ..ANY },
    // OpenRouter: the model is there, but nobody who serves it does what is asked for (tools, images, caching).
    Rule {
        name: "model-feature",
        class: ModelNotFound,
        words: &["no endpoints found that"],
        is_requests_own: true,
        ..ANY
    },
    // The model is there, but not at this endpoint, or not with what this request asks for. Another target may have it.
    Rule {
        name: "endpoint-wording",
        class: ModelNotFound,
        words: wording::WRONG_ENDPOINT,
        statuses: REFUSED,
        is_requests_own: true,
        ..ANY
    },
    Rule {
        name: "capability-wording",
        class: ModelNotFound,
        words: wording::LACKS_CAPABILITY,
        statuses: REFUSED,
        is_requests_own: true,
        ..ANY
    },
    // ── Money ──────────────────────────────────────────────────────────────────────────────────────────────────────
    // OpenAI, Anthropic (`details.error_code`), Moonshot, DashScope, Volcengine, LiteLLM, one-api and new-api.
    Rule {
        name: "balance-code",
        class: OutOfCredits,
        codes: &[
            "*insufficientquota*", "insufficientbalance*", "insufficientcredit*", "insufficientfunds*",
            "insufficientuserquota*", "*quotanotenough*", "exceededcurrentquota*", "billing*", "*budgetexceeded*",
            "*spendlimitreached", "*creditbalancetoolow*", "*paymentrequired*", "outofcredits", "creditserror",
            "creditsexhausted*", "weightexceedsbudget", "openroutercredits", "arrearage", "accountoverdue*",
            "*freetieronly", "usagelimitreached",
        ],
        ..ANY
    },
    Rule { name: "balance-wording", class: OutOfCredits, words: wording::OUT_OF_CREDITS, ..ANY },
    // https://ai.google.dev/gemini-api/docs/rate-limits: Google's sentence is OpenAI's for an empty account, but means a
    // limit by the minute or day; a relay may pass it on, so the gRPC status counts as well as the provider.
    Rule { name: "google-quota", class: RateLimited, codes: &["resourceexhausted"], ..ANY },
    Rule {
        name: "google-quota-wording",
        class: RateLimited,
        providers: GOOGLE,
        words: &["quota"],
        statuses: &[429],
        ..ANY
    },
    Rule { name: "quota-wording", class: OutOfCredits, words: &["exceeded your current quota"], ..ANY },
    // ── Codes with one meaning ─────────────────────────────────────────────────────────────────────────────────────
    // OpenRouter: no endpoint of this model that the account's privacy settings allow. Other models have one.
    Rule { name: "privacy-code", class: Auth, codes: &["privacyrestricted"], is_requests_own: true, ..ANY },
    Rule {
        name: "content-code",
        class: ContentPolicy,
        codes: &[
            "contentfilter*", "*contentpolicyviolation*", "contentpolicy*", "responsibleaipolicyviolation",
            "*moderationblocked", "moderationerror", "moderationfailed", "datainspectionfailed", "invalidprompt",
            "promptblocked", "prohibitedcontent", "safetyviolation*", "*guardrailintervened", "sensitivecontent*",
            "inputtextsensitivecontentdetected*", "usagepolicyviolation",
        ],
        ..ANY
    },
    Rule {
        name: "key-code",
        class: Auth,
        codes: &[
            "invalidapikey*", "incorrectapikey*", "apikeyinvalid", "*apikeyexpired", "missingapikey",
            "invalidauthentication*", "tokennotfoundindb", "expiredkey", "invalidtoken", "expiredtoken*",
            "unrecognizedclient*", "invalidsignature*", "invalidclienttokenid", "unsupportedcountryregionterritory",
            "accountdeactivated", "organizationdisabled",
        ],
        ..ANY
    },
    Rule {
        name: "model-code",
        class: ModelNotFound,
        codes: &[
            "*modelnotfound*", "*modelnotexist*", "*modeldoesnotexist", "nosuchmodel", "unknownmodel*",
            "invalidmodel*", "unsupportedmodel*", "modelnotsupported*", "modeldeprecated", "modelnotavailable",
            "modeldecommissioned", "deploymentnotfound", "invalidendpointormodel*",
        ],
        ..ANY
    },
    // OpenAI, Groq, Azure, DashScope, Mistral, AWS, Google, and exceptions' names behind gateways. A request that is too
    // large for a limit by the minute is a rate limit (Groq answers 413), so these come before length.
    Rule {
        name: "rate-code",
        class: RateLimited,
        codes: &[
            "*ratelimit*", "*throttling*", "*throttled*", "toomanyrequests*", "*requestlimitexceeded*",
            "limitrequests", "limitburstrate", "servicequotaexceeded*",
        ],
        ..ANY
    },
    Rule {
        name: "length-code",
        class: ContextLength,
        codes: &[
            "contextlengthexceeded", "*contextwindowexceeded*", "*contextlimitexceeded*", "exceedcontextsize*",
            "*contextlengtherror", "toomanytokens", "toomanyprompttokens", "maxtokensexceeded", "prompttoolong",
            "inputtoolong", "requesttoolarge*", "requestentitytoolarge*", "*bodytoolarge*",
            "payloadtoolarge*",
        ],
        ..ANY
    },
    Rule {
        name: "overload-code",
        class: Overloaded,
        codes: &[
            "*overloaded*", "serviceunavailable*", "unavailable", "modelnotready*", "*capacityexceeded",
            "capacityexhausted", "slowdown", "serverbusy*", "enginebusy", "modelloading",
        ],
        ..ANY
    },
    // ── Wording, by stems ──────────────────────────────────────────────────────────────────────────────────────────
    Rule { name: "rate-wording", class: RateLimited, words: wording::RATE_LIMITED, ..ANY },
    Rule { name: "data-policy-wording", class: Auth, words: &["data policy"], is_requests_own: true, ..ANY },
    Rule { name: "overload-503-wording", class: Overloaded, words: wording::OVERLOADED, statuses: &[503, 529], ..ANY },
    Rule { name: "model-wording", class: ModelNotFound, words: wording::MODEL_NOT_FOUND, ..ANY },
    // Anthropic's whole message is `model: NAME`; others say that something was not found, and speak of a model.
    Rule { name: "model-404", class: ModelNotFound, words: MODEL, statuses: &[404, 410], ..ANY },
    Rule { name: "model-type", class: ModelNotFound, words: MODEL, codes: &["notfound*", "resourcenotfound*"], ..ANY },
    Rule { name: "key-wording", class: Auth, words: wording::AUTH, ..ANY },
    Rule { name: "length-wording", class: ContextLength, words: wording::CONTEXT_LENGTH, ..ANY },
    Rule { name: "content-wording", class: ContentPolicy, words: wording::CONTENT_POLICY, ..ANY },
    Rule { name: "permission-wording", class: Auth, words: wording::PERMISSION, ..ANY },
    Rule { name: "overload-wording", class: Overloaded, words: wording::OVERLOADED, ..ANY },
    // ── Types that say little ──────────────────────────────────────────────────────────────────────────────────────
    Rule {
        name: "auth-type",
        class: Auth,
        codes: &[
            "authentication*", "unauthorized*", "unauthenticated",
            "permissionerror", "permissiondenied*", "accessdenied*", "forbidden*",
        ],
        ..ANY
    },
    // llama.cpp answers 501: this server never will, whoever asks again.
    Rule { name: "unsupported-type", class: BadRequest, codes: &["notsupported*", "unsupported*"], ..ANY },
    Rule { name: "server-wording", class: ServerError, words: wording::SERVER_ERROR, statuses: &[200], ..ANY },
    Rule {
        name: "invalid-type",
        class: BadRequest,
        codes: &[
            "invalidrequest*", "invalidargument*", "invalidparameter*", "validation*", "badrequest*",
            "unprocessable*",
        ],
        statuses: &[200],
        ..ANY
    },
    // ── Status (RFC 9110 §15, RFC 6585; 498, 499, 52x and 529 are conventions) ─────────────────────────────────────
    // https://docs.together.ai/docs/error-codes: input and output longer than the model's limit.
    Rule { name: "together-403", class: ContextLength, providers: &["together*"], statuses: &[403], ..ANY },
    Rule { name: "status-401-403", class: Auth, statuses: &[401, 403, 407, 451], ..ANY },
    Rule { name: "status-402", class: OutOfCredits, statuses: &[402], ..ANY },
    Rule { name: "status-413", class: ContextLength, statuses: &[413], ..ANY },
    Rule { name: "status-429", class: RateLimited, statuses: &[429], ..ANY },
    Rule { name: "status-503-529", class: Overloaded, statuses: &[503, 529], ..ANY },
    // Bedrock's 424 is a failure of the model; 408 and 425 ask for another try.
    Rule { name: "status-passing-4xx", class: ServerError, statuses: &[408, 424, 425], ..ANY },
    Rule { name: "status-4xx", class: BadRequest, statuses: &STATUSES_4XX, ..ANY },
    Rule { name: "server-error", class: ServerError, ..ANY },
];

const STATUSES_4XX: [u16; 100] = {
    let mut statuses = [400; 100];
    let mut at = 0;
    while at < statuses.len() {
        statuses[at] += at as u16;
        at += 1;
    }
    statuses
};
