//! Stems of what providers write for people, by class. Lower case; `*` is a short gap. English first, then Chinese,
//! German, French, Spanish and others: several providers answer in their users' language.
//!
//! Sources: the recorded answers of tests/data/provider-errors.json, the providers' error pages, and for other
//! languages the same sentences in the words that their consoles use. Laid out by hand: one a line would be pages.

/// State that another account, region or provider created: ids, encrypted reasoning, signatures, or a history that
/// lacks them.
#[rustfmt::skip]
pub(super) const FOREIGN_STATE: &[&str] = &[
    "encrypted content*could not be", "encrypted_content*could not be", "encrypted content*cannot be",
    "encrypted_content*cannot be", "invalid*encrypted content", "invalid*encrypted_content", "encrypted_content*invalid",
    "signature*in*thinking", "thinking*signature", "thought signature", "thought_signature", "blocks*cannot be modified",
    "must start with a thinking block", "reasoning_content*must be passed back", "previous response*not found",
    "previous_response*not found", "previous_response_id*not", "response with id*not found", "no response found",
    "item with id*not found", "items are not persisted", "no such file object", "file not found: file",
    "file with id*not found", "file_id*not found", "no file found", "conversation*not found", "no conversation found",
    "container*not found", "container*expired", "no thread found", "no assistant found", "vector store*not found",
    "no such vector store",
];

/// The account has too little for this one request.
pub(super) const TOO_DEAR: &[&str] = &["can only afford", "or fewer max_tokens", "prompt tokens limit exceeded"];

/// The model is served, but at another endpoint.
#[rustfmt::skip]
pub(super) const WRONG_ENDPOINT: &[&str] = &[
    "only supported in v1/", "only supported in /v1/", "not supported in v1/", "not supported in /v1/",
    "not supported in the v1/", "not supported in the /v1/", "did you mean to use v1/", "did you mean to use /v1/",
    "please use v1/", "please use /v1/", "not a chat model", "only*responses api", "use the responses api",
    "use the chat completions api", "not supported for task", "does not work with the specified model",
    "t support endpoint", "not support this endpoint", "not supported at this endpoint", "not supported on this endpoint",
    "not supported by this endpoint", "not available on this endpoint", "not available at this endpoint",
];

/// The model is served, but not with this.
#[rustfmt::skip]
pub(super) const LACKS_CAPABILITY: &[&str] = &[
    "not support tool", "not support function", "not support parallel tool", "not support image", "not support vision",
    "not support multimodal", "not a multimodal", "not support audio", "not support video", "not support pdf",
    "not support document", "not support file", "not support response_format", "not support response format",
    "not support json", "not support structured output", "not support stream", "not support non-stream",
    "only supports stream", "only support stream", "streaming is required", "stream is required",
    "stream must be", "requires stream", "not support thinking", "not support extended thinking", "not support reasoning",
    "not support system", "not support developer", "not support assistant message prefill", "not support prefill",
    "not support logprob", "not support web search", "not support cache", "not support caching",
    "tools are not supported", "tool use is not supported", "tool calling is not supported", "function calling is not supported",
    "images are not supported", "image input is not supported", "image inputs are not supported", "streaming is not supported",
    "modality is not supported", "modalities are not supported",
];

/// Money, not speed. Hints such as links ("upgrade at …", "check your billing") are left out: rate limits carry those
/// too.
#[rustfmt::skip]
pub(super) const OUT_OF_CREDITS: &[&str] = &[
    // Anthropic's, as one piece: a prompt that has its words apart does not make it less Anthropic's.
    "credit balance is too low",
    "insufficient*balance", "insufficient*credit", "insufficient*fund", "have no quota", "exceeded*included credits", "balance*insufficient",
    "credit*insufficient", "not enough credit", "not enough balance", "not have enough credit",
    "not have enough balance", "not have sufficient", "credit balance*too low", "balance*too low",
    "balance is not enough", "balance*exhausted", "balance*depleted", "out of credit", "ran out of credit",
    "run out of credit", "no credits left", "no credits remaining", "no credits available", "have no credits",
    "no remaining credit", "credits*deplet", "credits*exhausted", "credit*used up", "used all available credit",
    "exhausted*credit", "exceed your available credit", "t have any credit", "requires more credit",
    "can only afford", "purchase more credit", "negative balance", "spending limit", "spend limit", "spending cap",
    "spend cap", "hard limit*reached", "billing hard limit", "billing*not active", "billing*not enabled",
    "billing*inactive", "enable billing", "credit limit", "key limit exceeded", "monthly budget", "budget*exceeded",
    "exceeded*budget", "reached*api usage limit", "reached your usage limit", "hit your usage limit",
    "payment method", "payment required", "payment*overdue", "account*overdue", "overdue balance", "overdue payment",
    "overdue invoice", "overdue bill", "past due", "unpaid balance", "unpaid invoice", "unpaid bill", "failure to pay",
    "in arrears", "good standing", "recharge your", "please recharge", "top up your", "please top up", "top-up your",
    "subscription*expired", "free tier*exhausted", "free quota*exhausted", "free trial*ended", "free trial*expired",
    "quota*used up", "user quota is not enough", "token quota is not enough",
    // Chinese
    "余额*不足", "余额*耗尽", "余额*用尽", "餘額*不足", "额度*不足", "额度*用尽", "额度*用完", "额度*耗尽", "额度已用", "欠费", "充值", "使用上限", "套餐*到期",
    "套餐*过期",
    // German
    "guthaben", "zahlung*erforderlich", "zahlungsmethode", "ausgabenlimit",
    // French
    "solde insuffisant", "solde*épuisé", "crédit*insuffisant", "crédits*épuisé", "plus de crédit",
    "moyen de paiement", "paiement requis",
    // Spanish, Portuguese, Italian
    "saldo insuficiente", "saldo*agotado", "crédito*insuficiente", "créditos*agotad", "agotado*crédito",
    "agotado*saldo", "créditos*esgotad", "esgotou*crédito", "esgotou*saldo",
    "método de pago", "credito insufficiente",
    // Japanese, Korean, Russian
    "残高*不足", "クレジット*不足", "잔액*부족", "недостаточно средств",
];

#[rustfmt::skip]
pub(super) const RATE_LIMITED: &[&str] = &[
    "rate limit", "rate-limit", "ratelimit", "too many requests", "too many tokens*wait", "too many concurrent",
    "throttl", "tokens per min", "tokens per day", "tokens per hour", "requests per", "per minute", "queries per",
    "concurrency limit", "concurrent request", "request limit*exceeded", "request limit*reached", "requests limit",
    "request quota", "tpm limit", "rpm limit", "quota exceeded for metric", "resource exhausted",
    "resource has been exhausted", "slow down", "sending requests too", "requests too quickly",
    // Chinese
    "请求*频繁", "频率*限", "频率超", "请求频率", "控制请求频率", "速率限制", "限流", "并发*限", "并发数", "每分钟", "請求*頻繁",
    // German
    "zu viele anfragen", "anfragelimit", "ratenlimit", "ratenbegrenzung", "pro minute",
    // French
    "trop de requêtes", "limite de débit", "limite de requêtes", "nombre de requêtes", "par minute",
    // Spanish, Portuguese, Italian
    "demasiadas solicitudes", "demasiadas peticiones", "límite de velocidad", "límite de solicitudes",
    "límite de frecuencia", "por minuto", "muitas solicitações", "muitas requisições", "troppe richieste",
    // Japanese, Korean, Russian
    "リクエスト*多すぎ", "レート制限", "分あたり", "요청*너무 많", "요청 한도", "слишком много запросов",
];

/// What the upstream will not serve to this key, account or place.
#[rustfmt::skip]
pub(super) const AUTH: &[&str] = &[
    "invalid*api key", "invalid*api-key", "invalid*api_key", "invalid*apikey", "invalid*x-api-key",
    "incorrect api key", "wrong api key", "a valid api key", "expired api key", "missing*api key", "missing api_key",
    "unknown api key", "no api key", "no api-key", "api key*invalid", "api key*not valid", "api key*not found",
    "api key*expired", "api key*missing", "api key*disabled", "api key*revoked", "api key*required",
    "api key*incorrect", "api-key*invalid", "api_key*must be set", "t provide an api key", "invalid*subscription key",
    "authentication fail", "authentication error", "invalid authentication", "authentication header", "authentication credentials",
    "authentication required", "authentication is required", "failed to authenticate", "not authenticated",
    "could not authenticate", "unauthenticated", "unauthorized", "not authorized", "unauthorised",
    "missing*authorization", "invalid*authorization", "invalid credential", "invalid*token passed",
    "invalid access token", "invalid bearer token", "access token*expired", "token*is expired",
    "token*has expired", "security token*invalid", "signature*does not match", "no cookie auth",
    "user not found", "organization*disabled", "account*disabled", "account*deactivated", "account*suspended",
    "account*banned", "user location", "country, region, or territory", "not available in your country",
    "not available in your region", "not supported in your country", "not supported in your region",
    "unsupported region", "ip address*not allowed", "ip*not in*whitelist", "ip*not in*allowlist", "data policy",
    // Chinese
    "密钥*无效", "密钥*错误", "密钥*过期", "密钥*不正确", "密钥*不存在", "无效的*密钥", "无效的*key", "无效的令牌", "令牌*无效", "令牌*过期", "令牌不可用", "令牌状态不可用", "令牌验证",
    "未提供令牌", "未提供*key", "key*无效", "key*错误", "key*不正确", "身份验证", "身份认证", "鉴权", "认证失败", "未授权",
    // German
    "api-schlüssel", "ungültig*api", "ungültige anmeldedaten", "nicht autorisiert", "authentifizierung",
    // French
    "clé api", "clé d'api", "non autorisé", "authentification",
    // Spanish, Portuguese, Italian
    "clave de api", "clave api", "chave de api", "chave api", "chiave api", "no autorizado", "não autorizado",
    "autenticación", "autenticação",
    // Japanese, Korean, Russian
    "apiキー", "api キー", "認証", "api 키", "인증", "ключ api", "api-ключ",
];

/// The answer says that something is refused, but not why: gRPC's sentence for it also introduces refused content.
#[rustfmt::skip]
pub(super) const PERMISSION: &[&str] = &[
    "permission denied", "not have permission", "insufficient permission", "missing*scope",
    "not have the required scope", "access denied", "access is denied", "access forbidden", "没有权限", "无权", "權限",
    "zugriff verweigert", "keine berechtigung", "accès refusé", "accès interdit", "acceso denegado", "acesso negado",
];

#[rustfmt::skip]
pub(super) const MODEL_NOT_FOUND: &[&str] = &[
    "no endpoints found", "model*not found", "model*does not exist", "model*doesn't exist", "model*not exist",
    "model*could not be found", "model*cannot be found", "model*not available", "model*no longer available",
    "model*no longer supported", "model*been deprecated", "model*been decommissioned", "model*been retired",
    "model*been removed", "model*been shut down", "model*is deprecated", "model*end of life", "model*end of its life",
    "model * is not supported", "model * not supported", "model*is unknown", "model*not recognized",
    "model*not deployed", "model*not have access to it", "not have access to*model", "model*is not a valid model",
    "not a valid model", "model identifier*invalid", "no such model", "no model named", "unknown model",
    "unsupported model", "invalid model", "unrecognized model", "unable to find model", "could not find model",
    "couldn't find model", "no healthy deployments", "function*not found for account",
    "invocation of model id*isn't supported", "deployment*does not exist", "deployment*not found",
    "unable to access non-serverless model",
    // Chinese
    "模型*不存在", "模型*未找到", "模型*未开通", "模型*已下线", "模型*不可用", "找不到*模型", "未找到*模型", "不支持*模型", "不存在*模型", "没有*可用渠道", "无可用渠道",
    // German
    "modell*nicht gefunden", "modell*existiert nicht", "modell*nicht verfügbar", "modell*unbekannt",
    "unbekanntes modell", "ungültiges modell",
    // French
    "modèle*introuvable", "modèle*n'existe pas", "modèle*pas disponible", "modèle*inconnu", "modèle*non trouvé",
    // Spanish, Portuguese, Italian
    "modelo*no existe", "modelo*no encontrado", "modelo*no se encontró", "modelo*no*disponible",
    "no se encontró el modelo", "modelo*não existe", "modelo*não*encontrado", "modello*non esiste",
    "modello*non trovato",
    // Japanese, Korean, Russian
    "モデル*存在しません", "モデル*見つかりません", "모델*찾을 수 없", "모델*존재하지", "модель*не найдена", "модель*не существует",
];

#[rustfmt::skip]
pub(super) const CONTEXT_LENGTH: &[&str] = &[
    "context length", "context window", "context limit", "context size", "contextwindowexceeded", "maximum context",
    "max context", "maximum prompt length", "maximum input length", "max_seq_len", "max_model_len",
    "model token limit", "too many tokens", "too many input tokens", "too many prompt tokens", "input token*exceed",
    "prompt token*exceed", "prompt*too long", "prompt*too large", "prompt*exceeds", "input*too long",
    "input length*exceed", "range of input length", "request*too long",
    "request too large", "request is too large", "request*entity too large", "request body*too large", "body exceeds",
    "request exceeds*size", "payload*too large", "payload*exceeds", "messages is too long", "content'*string too long", "input'*string too long", "prompt'*string too long",
    "reduce the length",
    "reduce your prompt", "shorten your", "exceeds the maximum number of tokens", "`inputs` tokens",
    // Chinese
    "上下文*超", "上下文长度", "上下文窗口", "超过*上下文", "超出*上下文", "超出*最大长度", "超过*最大长度", "输入*过长", "输入*太长", "输入*超长", "输入*token*超", "prompt*超长",
    "prompt*过长", "文本过长", "长度*超过", "长度*超出", "tokens*超出",
    // German
    "kontextlänge", "kontextfenster", "eingabe*zu lang", "anfrage*zu lang", "anfrage*zu groß", "prompt*zu lang",
    // French
    "longueur*contexte", "fenêtre de contexte", "trop long", "trop de jetons", "trop volumineu",
    // Spanish, Portuguese, Italian
    "longitud*contexto", "ventana de contexto", "demasiado larg", "demasiados tokens", "comprimento*contexto",
    "muito longo", "troppo lungo",
    // Japanese, Korean, Russian
    "コンテキスト長", "長すぎ", "入力*トークン数*超え", "プロンプト*トークン数*超え", "컨텍스트", "너무 깁니다", "слишком длинн",
];

#[rustfmt::skip]
pub(super) const CONTENT_POLICY: &[&str] = &[
    "content management policy", "content policy", "content filter", "content_filter", "contentpolicyviolation",
    "content moderation", "content safety", "content*violat", "content*blocked", "content*flagged",
    "content*prohibited", "content*risk", "high risk", "inappropriate content", "harmful content", "unsafe content",
    "sensitive content", "potentially sensitive", "was flagged", "been flagged", "requires moderation", "flagged by",
    "blocked by*safety", "blocked by*filter", "blocked by*guardrail", "blocked due to safety", "safety system",
    "safety filter", "safety policy", "safety guideline", "usage policy", "usage policies", "usage guidelines",
    "acceptable use", "prohibited use policy", "violates our policies", "violating our", "responsible ai",
    // Chinese
    "敏感", "不安全", "违规", "违反*规定", "不合规", "审核", "内容安全", "涉黄", "风险内容",
    // German
    "inhaltsrichtlini", "inhaltsfilter", "nutzungsrichtlini", "sicherheitsrichtlini",
    // French
    "politique de contenu", "politique*utilisation", "filtre de contenu", "contenu inapproprié", "modération",
    // Spanish, Portuguese, Italian
    "política de contenido", "políticas de contenido", "política*uso", "filtro de contenido", "contenido inapropiado",
    "política de conteúdo", "políticas de conteúdo", "conteúdo impróprio", "norme sui contenuti",
    // Japanese, Korean, Russian
    "コンテンツポリシー", "不適切", "콘텐츠 정책", "부적절", "политик*контента",
];

#[rustfmt::skip]
pub(super) const OVERLOADED: &[&str] = &[
    "overload", "over capacity", "at capacity", "at full capacity", "out of capacity", "no capacity",
    "capacity exceeded", "capacity constraint", "insufficient capacity", "lack of capacity", "capacity*unavailable",
    "high demand", "high load", "heavy load", "heavy traffic", "too busy", "is busy", "are busy", "currently busy",
    "server busy", "system busy", "not ready", "is loading", "currently loading", "loading model", "warming up",
    "cold start", "temporarily unavailable", "currently unavailable", "service unavailable", "service is unavailable",
    "queue is full", "queue*full", "no available instance", "no available worker", "no available channel",
    "no available server", "no instances available", "no workers available", "no available model provider",
    // Chinese
    "访问量过大", "繁忙", "过载", "负载", "服务器忙", "排队", "暂时不可用", "資源不足", "算力不足",
    // German
    "überlastet", "überlastung", "ausgelastet", "nicht erreichbar", "vorübergehend nicht verfügbar",
    // French
    "surcharg", "saturé", "temporairement indisponible", "momentanément indisponible",
    // Spanish, Portuguese, Italian
    "sobrecarga", "saturado", "temporalmente no disponible", "no disponible temporalmente",
    "temporariamente indisponível", "sovraccaric",
    // Japanese, Korean, Russian
    "混雑", "過負荷", "과부하", "перегружен",
];

/// Wordings that matter under status 200 only, where nothing else tells.
#[rustfmt::skip]
pub(super) const SERVER_ERROR: &[&str] = &[
    "server had an error", "internal server error", "internal error", "internal failure", "unexpected error",
    "something went wrong", "upstream error", "provider returned error", "bad gateway", "gateway time", "timed out",
    "timeout", "内部错误", "服务异常", "interner fehler", "erreur interne", "error interno",
];
