"""Gemini's own names of members, as its JSON may spell them: lowerCamelCase, or the snake_case of its protos.

Two members of one object that mean the same are a `MalformedBody`: which of them counts is the parser's choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, words

_AFTER = re.compile(r"_+([^_]|\Z)").sub
_CAPITAL = re.compile(r"[A-Z]").sub


def camel(name: str) -> str:
    """A member's name in lowerCamelCase, as protobuf's JSON mapping makes it."""
    return _AFTER(lambda match: match[1].upper(), name) if "_" in name else name


def both(text: str) -> frozenset[str]:
    """The names in a list written as one string, in both spellings."""
    names = words(text)
    return names | {_CAPITAL(lambda match: "_" + match[0].lower(), name) for name in names}


def members(fields: dict[str, object]) -> Iterator[tuple[str, str, object]]:
    """Each member: its name in lowerCamelCase, the name as it is written, its value."""
    if len({camel(key) for key in fields}) != len(fields):
        raise MalformedBody("duplicate-key")
    return ((camel(key), key, value) for key, value in fields.items())


IDENTIFIERS = both(
    "role id index mimeType language outcome toolType level scheduling startOffset endOffset mediaProcessing "
    "contentLayers languageCode finishReason blockReason category probability severity threshold method "
    "overwrittenThreshold urlRetrievalStatus modelStage retirementTime modality trafficType"
)
"""Members of contents and answers that hold an id, a number of seconds or a value from a closed set."""

ERROR_IDENTIFIERS = words("code status @type reason domain requestId retryDelay")

REQUEST_IDENTIFIERS = IDENTIFIERS | both("model cachedContent serviceTier taskType")

TOOL_IDENTIFIERS = SCHEMA_IDENTIFIERS | both(
    "propertyOrdering behavior mode environment excludedPredefinedFunctions disabledSafetyPolicies blockingConfidence "
    "authType httpElementLocation apiSpec startTime endTime timeout sseReadTimeout"
)
_SCHEMA_WORDS = both(" ".join(SCHEMA_WORDS))
TOOL_WORDS = _SCHEMA_WORDS | both(
    "functionDeclarations parametersJsonSchema response responseJsonSchema behavior propertyOrdering format defs ref "
    "example maxProperties minProperties retrieval disableAttribution externalApi apiAuth apiKeyConfig "
    "apiKeySecretVersion apiKeyString apiSpec authConfig apiKey apiKeySecret credentialSecret httpElementLocation "
    "authType googleServiceAccountConfig serviceAccount httpBasicAuthConfig oauthConfig accessToken oidcConfig idToken "
    "elasticSearchParams index numHits searchTemplate endpoint simpleSearchParams vertexAiSearch dataStoreSpecs "
    "dataStore datastore engine filter maxResults vertexRagStore ragCorpora ragResources ragCorpus ragFileIds "
    "ragRetrievalConfig metadataFilter vectorDistanceThreshold vectorSimilarityThreshold hybridSearch alpha ranking "
    "llmRanker modelName rankService topK similarityTopK storeContext computerUse environment "
    "excludedPredefinedFunctions enablePromptInjectionDetection disabledSafetyPolicies fileSearch fileSearchStoreNames "
    "googleSearch searchTypes imageSearch webSearch blockingConfidence excludeDomains timeRangeFilter endTime "
    "startTime googleMaps enableWidget groundingTypes places routing codeExecution enterpriseWebSearch "
    "googleSearchRetrieval dynamicRetrievalConfig dynamicThreshold mode parallelAiSearch customConfigs urlContext "
    "mcpServers streamableHttpTransport headers sseReadTimeout terminateOnClose timeout url exaAiSearch "
    "enableDataRetention enableZeroDataRetention"
)
"""Names of members of a tool; a name that is none of them was chosen by the request's writer, and is text."""

CONFIG_IDENTIFIERS = SCHEMA_IDENTIFIERS | both(
    "propertyOrdering responseMimeType mimeType responseModalities mediaResolution thinkingLevel voiceName "
    "languageCode languageCodes targetLanguageCode mode allowedFunctionNames aspectRatio imageSize delivery duration "
    "resolution modelName modelRoutingPreference featureSelectionPreference taskType voice speaker"
)
CONFIG_WORDS = _SCHEMA_WORDS | both(
    "propertyOrdering defs ref example maxProperties minProperties modelSelectionConfig featureSelectionPreference "
    "responseJsonSchema audioTimestamp candidateCount enableAffectiveDialog frequencyPenalty logprobs maxOutputTokens "
    "mediaResolution presencePenalty responseLogprobs responseMimeType responseModalities responseSchema routingConfig "
    "autoMode modelRoutingPreference manualMode modelName seed speechConfig voiceConfig replicatedVoiceConfig mimeType "
    "voiceSampleAudio consentAudio voiceConsentSignature signature prebuiltVoiceConfig voiceName languageCode "
    "languageCodes multiSpeakerVoiceConfig speakerVoiceConfigs speaker stopSequences temperature thinkingConfig "
    "includeThoughts thinkingBudget thinkingLevel topK topP enableEnhancedCivicAnswers responseFormat audio bitRate "
    "delivery sampleRate voice image aspectRatio imageSize text video duration resolution gcsUri translationConfig "
    "echoTargetLanguage targetLanguageCode audioTranscriptionConfig adaptationPhrases customVocabulary diarization "
    "languageAuto languageHints sourceText wordTimestamp mode functionCallingConfig allowedFunctionNames "
    "streamFunctionCallArguments includeServerSideToolInvocations retrievalConfig latLng latitude longitude "
    "jsonSchema audioTrackExtraction autoTruncate documentOcr outputDimensionality taskType"
)
"""The same of the configurations of generating, of tools and of embedding."""
