/**
 * The ABI of the core: every number that the WebAssembly core and its host share.
 *
 * Literal constants only (no expressions, no annotations), so that `asc` and a TypeScript compiler
 * both accept the file. All integers in memory are little-endian; all offsets are bytes.
 * The README page "The ABI of the core" explains the blocks in prose.
 */

/** Raised by one whenever a layout or a number below changes its meaning. */
export const ABI_VERSION = 1;

// ---------------------------------------------------------------------------------------------
// Limits. Exceeding one is a verdict (`limit.exceeded`, or `authorizer.malformed`), never a trap.
// ---------------------------------------------------------------------------------------------

/** Largest CephXAuthorizer, parts a and b, in bytes (72 KiB). */
export const AUTHORIZER_LEN_MAX = 73728;
/** Largest caps text in a ticket, in bytes (64 KiB). */
export const TICKET_CAPS_LEN_MAX = 65536;
/** Largest caps text given for parse, in bytes (1 MiB). */
export const CAPS_TEXT_LEN_MAX = 1048576;
/** Most grants that one caps text may write down (a profile counts once here). */
export const CAPS_GRANTS_MAX = 10000;
/** Longest pool or namespace name in a request, in bytes. */
export const NAME_LEN_MAX = 255;
/** Longest object name or path in a request, in bytes. */
export const OBJECT_LEN_MAX = 4096;
/** Most entries in the list of groups of an MDS request. */
export const GIDS_MAX = 1024;
/** Most class calls in one OSD request. */
export const CLASSES_MAX = 64;
/** Most (application, key, value) triples of a pool in one OSD request. */
export const APP_METADATA_MAX = 256;
/** Most records in one call of `run`. */
export const BATCH_RECORDS_MAX = 1024;
/** Most service secrets kept for one service. */
export const SECRETS_PER_SERVICE_MAX = 64;
/** Longest secret of a CryptoKey, in bytes (one HMAC-SHA384 block). */
export const KEY_SECRET_LEN_MAX = 128;
/** Longest secret of a session key that a session keeps, in bytes. */
export const SESSION_SECRET_LEN_MAX = 64;
/** Longest entity id that a session keeps, in bytes. */
export const SESSION_ENTITY_LEN_MAX = 96;
/** Most entries of the revocation table. */
export const REVOCATIONS_MAX = 1024;
/** Longest sealed ticket that the ticket cache takes, in bytes. */
export const TICKET_CACHE_BLOB_MAX = 768;

// ---------------------------------------------------------------------------------------------
// Presets of `init`: how much memory the core takes, once.
// ---------------------------------------------------------------------------------------------

/** 4 MiB. */
export const PRESET_SMALL = 0;
/** 64 MiB. */
export const PRESET_SERVER = 1;
/** 512 MiB. */
export const PRESET_LARGE = 2;
// The same in pages of 64 KiB.
export const PAGES_SMALL = 64;
export const PAGES_SERVER = 1024;
export const PAGES_LARGE = 8192;

// ---------------------------------------------------------------------------------------------
// Layout table: `layout()` returns the address of these u32 words.
// ---------------------------------------------------------------------------------------------

export const LAYOUT_ABI_VERSION = 0;
export const LAYOUT_PRESET = 4;
export const LAYOUT_HOST = 8;
export const LAYOUT_HOST_LEN = 12;
export const LAYOUT_REQUEST = 16;
export const LAYOUT_REQUEST_LEN = 20;
export const LAYOUT_RESPONSE = 24;
export const LAYOUT_RESPONSE_LEN = 28;
export const LAYOUT_SECRET = 32;
export const LAYOUT_SECRET_LEN = 36;
export const LAYOUT_WORK = 40;
export const LAYOUT_WORK_LEN = 44;
export const LAYOUT_RANDOM = 48;
export const LAYOUT_RANDOM_LEN = 52;
export const LAYOUT_CHALLENGES = 56;
export const LAYOUT_CHALLENGES_LEN = 60;
/** Literals that compiled grants refer to (string offsets from GRANT_LITERAL_BASE up). */
export const LAYOUT_LITERALS = 64;
export const LAYOUT_LITERALS_LEN = 68;
/** Start and length of the long-lived regions: secrets, sessions, caps, revocations, tickets. */
export const LAYOUT_KEPT = 72;
export const LAYOUT_KEPT_LEN = 76;
export const LAYOUT_SESSIONS_MAX = 80;
/** Most compiled grants, profiles expanded, of one caps text under this preset. */
export const LAYOUT_GRANTS_MAX = 84;
/** View of compiled caps, filled by `caps_view`. */
export const LAYOUT_CAPS_VIEW = 88;
/** Counters of the ticket cache (TICKETS_*). */
export const LAYOUT_TICKETS = 92;
/** Length of the table. */
export const LAYOUT_LEN = 96;

// ---------------------------------------------------------------------------------------------
// Host block: written by the host alone before a call; no record can reach it.
// ---------------------------------------------------------------------------------------------

/** u64: now, in nanoseconds since 1970 (seconds * 10^9 + nanoseconds). */
export const HOST_NOW = 0;
/** u64: clock skew allowed when expiry is enforced, in nanoseconds. */
export const HOST_SKEW = 8;
/** u32: one of PLAUSIBILITY_*. */
export const HOST_PLAUSIBILITY = 16;
/** u32: one of EXPIRY_*. */
export const HOST_EXPIRY = 20;
/** u32: bit mask of 1 << key type that may seal a ticket (6 = aes and aes256k). */
export const HOST_ALLOWED_TYPES = 24;
/** u32: record flags that are granted in this call; an ungranted flag is `record.flags`. */
export const HOST_FLAGS = 28;
/** u32: one of SESSION_LIFETIME_*. */
export const HOST_SESSION_LIFETIME = 32;
/** u32: one of CHALLENGE_*, for records that have no entry of their own in the challenge array. */
export const HOST_CHALLENGE_MODE = 36;
/** u64: the server challenge that goes with HOST_CHALLENGE_MODE. */
export const HOST_CHALLENGE = 40;
/** u64: longest age of a session in nanoseconds, 0 for none. */
export const HOST_SESSION_MAX_AGE = 48;
/** u32: random bytes that the host has put into the random pool; the core counts it down. */
export const HOST_RANDOM_AVAILABLE = 56;
/** u32: entries in the challenge array; 0: HOST_CHALLENGE serves every record. */
export const HOST_CHALLENGE_COUNT = 60;
/** u32: Ceph release whose grammar the caps parsers follow, 16 or 20. */
export const HOST_RELEASE = 64;
/** u32: general secrets are usable (1) or not (0). */
export const HOST_GENERAL_SECRET = 68;
/**
 * u32: msgr1 signatures under aes256k sessions are computed (1) although unconfirmed, or not (0).
 */
export const HOST_MSGR1_AES256K = 72;
/** u32: opened tickets are kept in the ticket cache (1) or not (0). */
export const HOST_TICKET_CACHE = 76;
export const HOST_LEN = 80;

/**
 * Entry i of the challenge array belongs to record i of the call: u64 challenge, u32 mode, u32 0.
 */
export const CHALLENGE_ENTRY_LEN = 16;

/** A challenge is required and none was issued; the value is a fresh one to seal for the client. */
export const CHALLENGE_REQUIRED = 0;
/** A challenge was issued; the authorizer must answer the value. */
export const CHALLENGE_ISSUED = 1;
/** No challenge is asked for (freshness "none"). */
export const CHALLENGE_OFF = 2;

export const PLAUSIBILITY_RELEASED = 0;
export const PLAUSIBILITY_ORDER = 1;
export const PLAUSIBILITY_SPAN = 2;
export const PLAUSIBILITY_STRICT = 3;

export const EXPIRY_ENFORCE = 0;
export const EXPIRY_REPORT = 1;
export const EXPIRY_RING = 2;

/** A session dies with its ticket (expires + skew). */
export const SESSION_LIFETIME_TICKET = 0;
/** A session lives as long as the connection: until it is released, evicted or revoked. */
export const SESSION_LIFETIME_CONNECTION = 1;

// ---------------------------------------------------------------------------------------------
// Ceph's numbers.
// ---------------------------------------------------------------------------------------------

/** CEPH_ENTITY_TYPE_*: also the service ids in tickets. */
export const ENTITY_TYPE_MON = 1;
export const ENTITY_TYPE_MDS = 2;
export const ENTITY_TYPE_OSD = 4;
export const ENTITY_TYPE_CLIENT = 8;
export const ENTITY_TYPE_MGR = 16;
export const ENTITY_TYPE_AUTH = 32;

/** CEPH_CRYPTO_*: key types. */
export const KEY_TYPE_NONE = 0;
export const KEY_TYPE_AES = 1;
export const KEY_TYPE_AES256K = 2;

/** Key usages of cephx (Ceph: CephXProtocol.h; spec section 6). */
export const USAGE_NONE = 0;
export const USAGE_AUTH_CONNECTION_SECRET = 3;
export const USAGE_TICKET_SESSION_KEY = 4;
export const USAGE_TICKET_BLOB = 5;
export const USAGE_AUTHORIZE = 16;
export const USAGE_AUTHORIZE_CHALLENGE = 17;
export const USAGE_AUTHORIZE_REPLY = 18;
export const USAGE_ROTATING_SECRET = 32;
export const USAGE_TICKET_INFO = 48;

// ---------------------------------------------------------------------------------------------
// Request records: a 24-byte header, a fixed body, variable parts. Records lie back to back.
// A variable part is (u32 offset from the start of the record, u32 length).
// ---------------------------------------------------------------------------------------------

/** u32: bytes of the whole record. */
export const RECORD_BYTES = 0;
/** u16: one of KIND_*. */
export const RECORD_KIND = 4;
/** u16: FLAG_* bits. */
export const RECORD_FLAGS = 6;
/** u32: entity type of the service that asks. */
export const RECORD_SERVICE = 8;
/** u32: echoed in the verdict. */
export const RECORD_TAG = 12;
/** u64: handle of a session or of compiled caps, 0 where none is meant. */
export const RECORD_HANDLE = 16;
export const RECORD_HEADER_LEN = 24;

export const KIND_VERIFY = 1;
export const KIND_CHECK = 2;
export const KIND_SIGN = 3;
export const KIND_SIGN_VERIFY = 4;
export const KIND_CAPS_PARSE = 5;
export const KIND_EXPLAIN = 6;

/**
 * Both halves of RECORD_HANDLE in a check or explain record: the session that the verify record
 * right before it in this call has opened.
 */
export const HANDLE_PREVIOUS = 4294967295;

/** Any kind: add the tail (entity, caps or canonical text, reply). */
export const FLAG_TAIL = 1;
/** Verify: build the CephXAuthorizeReply, or the sealed challenge when one is required. */
export const FLAG_REPLY = 2;
/** Verify: put a fresh 64-byte connection secret into the reply (and the secret block). */
export const FLAG_SECURE = 4;
/**
 * Verify: open a session and return its handle. Caps-parse: keep the caps and return a handle.
 * Check of HANDLE_PREVIOUS: leave the session open; without the flag the check ends it.
 */
export const FLAG_KEEP = 8;
/** Verify: write the session key and nonce into the secret block. */
export const FLAG_SECRETS = 16;
/** Verify: fill head and tail with what was decoded even if nothing was proved. */
export const FLAG_UNPROVEN = 32;
/** Every flag that exists. */
export const FLAGS_ALL = 63;

/** Verify body: (u32, u32) pairs, then the peer. The core reads the authorizer only. */
export const VERIFY_AUTHORIZER = 24;
export const VERIFY_CONNECTION = 32;
export const VERIFY_CHALLENGE_STATE = 40;
export const VERIFY_RECEIPT = 48;
/** u32: 0 none, 4 or 6; then 16 address bytes in network order, IPv4 in the first four. */
export const VERIFY_PEER_FAMILY = 56;
export const VERIFY_PEER = 60;
/** u32: must be 0. */
export const VERIFY_RESERVED = 76;
export const VERIFY_LEN = 80;

/** Check and explain body for OSD caps (service osd). */
export const OSD_POOL = 24;
export const OSD_NAMESPACE = 32;
export const OSD_OBJECT = 40;
/** Array of OSD_CLASS_LEN entries; the length is in bytes. */
export const OSD_CLASSES = 48;
/** Array of OSD_APP_LEN entries, sorted by (application, key); the length is in bytes. */
export const OSD_APP_METADATA = 56;
/** u32: OSD_READ | OSD_WRITE. */
export const OSD_BITS = 64;
export const OSD_PEER_FAMILY = 68;
export const OSD_PEER = 72;
/** u32: must be 0. */
export const OSD_RESERVED = 88;
export const OSD_LEN = 96;

export const OSD_READ = 1;
export const OSD_WRITE = 2;

/** Class entry: name (offset, length), method (offset, length), u32 bits. */
export const OSD_CLASS_NAME = 0;
export const OSD_CLASS_METHOD = 8;
export const OSD_CLASS_BITS = 16;
export const OSD_CLASS_LEN = 20;
export const CLASS_READ = 1;
export const CLASS_WRITE = 2;
export const CLASS_ALLOW_LISTED = 4;

/**
 * Application entry: application, key, value; key offset -1 (u32 max): the application has no keys.
 */
export const OSD_APP_NAME = 0;
export const OSD_APP_KEY = 8;
export const OSD_APP_VALUE = 16;
export const OSD_APP_LEN = 24;

/** Check and explain body for MDS caps (service mds). The path has no leading slash. */
export const MDS_PATH = 24;
/** Array of u32; the length is in bytes. */
export const MDS_GIDS = 32;
export const MDS_FS = 40;
export const MDS_INODE_UID = 48;
export const MDS_INODE_GID = 52;
export const MDS_INODE_MODE = 56;
export const MDS_CALLER_UID = 60;
export const MDS_CALLER_GID = 64;
/** u32: MAY_* bits. */
export const MDS_MASK = 68;
export const MDS_NEW_UID = 72;
export const MDS_NEW_GID = 76;
export const MDS_PEER_FAMILY = 80;
export const MDS_PEER = 84;
/** u32: must be 0. */
export const MDS_RESERVED = 100;
export const MDS_LEN = 104;

export const MAY_READ = 1;
export const MAY_WRITE = 2;
export const MAY_EXECUTE = 4;
export const MAY_CHOWN = 16;
export const MAY_CHGRP = 32;
export const MAY_SET_VXATTR = 64;
export const MAY_SNAPSHOT = 128;
export const MAY_FULL = 256;

/** Sign and sign-verify body. */
export const SIGN_SCHEME = 24;
/** u32: must be 0. */
export const SIGN_RESERVED = 28;
/** The signed block: 32 bytes of numbers for msgr1, any bytes for msgr2. */
export const SIGN_BLOCK = 32;
/** The signature to check (sign-verify): 8 bytes for msgr1, 32 for msgr2. */
export const SIGN_SIGNATURE = 40;
export const SIGN_LEN = 48;

/** Message signature without CEPHX_V2 (spec section 15.1, first row). */
export const SCHEME_MSGR1_LEGACY = 1;
/** Message signature with CEPHX_V2 (second row). */
export const SCHEME_MSGR1 = 2;
/** AUTH_SIGNATURE of msgr2 (section 15.2). */
export const SCHEME_MSGR2_AUTH = 3;

/** Caps-parse body: the text. */
export const CAPS_PARSE_TEXT = 24;
export const CAPS_PARSE_LEN = 32;

// ---------------------------------------------------------------------------------------------
// Verdict records: a 64-byte head and, if FLAG_TAIL asks, a tail. One per request record, in order.
// ---------------------------------------------------------------------------------------------

/** u32: bytes of the whole verdict. */
export const VERDICT_BYTES = 0;
/** u16: the ordered check that failed (CHECK_*), for the operator's log. */
export const VERDICT_CHECK = 4;
/** u16: the reason a caller may see (REASON_*). */
export const VERDICT_REASON = 6;
/** u32: the tag of the request. */
export const VERDICT_TAG = 8;
/** u8: 1 yes, 0 no. */
export const VERDICT_DECISION = 12;
/** u8: SOURCE_*. */
export const VERDICT_SOURCE = 13;
/** u16: CONDITION_* that failed for the nearest miss. */
export const VERDICT_CONDITION = 14;
/** u32: index of the grant (as written, from 0) that allowed or missed nearest; u32 max: none. */
export const VERDICT_GRANT = 16;
/** u32: INFO_* bits. */
export const VERDICT_INFO = 20;
/** u64: secret id of the ticket. Caps-parse: u32 grants written, u32 grants compiled. */
export const VERDICT_SECRET_ID = 24;
/** u64: global_id. Caps-parse: u32 offset at which the parser stopped (start of REST), u32 0. */
export const VERDICT_GLOBAL_ID = 32;
/** utime: u32 seconds, u32 nanoseconds, as in the ticket. */
export const VERDICT_CREATED = 40;
export const VERDICT_EXPIRES = 48;
/** u64: handle of the session or caps, 0 for none. */
export const VERDICT_HANDLE = 56;
export const VERDICT_LEN = 64;

/** Tail: u32 entity type, u32 0, then (offset from the start of the verdict, length) pairs. */
export const TAIL_ENTITY_TYPE = 64;
/** Entity id, bytes as in the ticket. */
export const TAIL_ENTITY = 72;
/** The caps buffer of AuthCapsInfo as in the ticket (an encoded string), or empty. */
export const TAIL_CAPS_RAW = 80;
/** The caps text inside it (verify), or the canonical print (caps-parse). */
export const TAIL_CAPS = 88;
/** CephXAuthorizeReply (prefixed), the sealed CephXAuthorizeChallenge (plain), or a signature. */
export const TAIL_REPLY = 96;
/** Explain: array of EXPLAIN_LEN entries, one per written grant. */
export const TAIL_DETAIL = 104;
export const TAIL_END = 112;

/**
 * Explain entry: u32 grant, u32 condition that failed first (0: it allows), u32 span start, end.
 */
export const EXPLAIN_GRANT = 0;
export const EXPLAIN_CONDITION = 4;
export const EXPLAIN_SPAN_START = 8;
export const EXPLAIN_SPAN_END = 12;
export const EXPLAIN_LEN = 16;

export const SOURCE_COLD = 0;
export const SOURCE_TICKET_CACHE = 1;
export const SOURCE_SESSION = 2;
export const SOURCE_CAPS = 3;

/** VERDICT_INFO: key type that sealed the ticket (bits 0-3), type of the session key (bits 4-7). */
export const INFO_TICKET_TYPE_SHIFT = 0;
export const INFO_SESSION_TYPE_SHIFT = 4;
export const INFO_TYPE_MASK = 15;
/** The ticket's allow_all flag; caps-parse: the caps are "allow all". */
export const INFO_ALLOW_ALL = 256;
/** The ticket is past its time by the given clock and skew (expiry modes report and ring). */
export const INFO_EXPIRED = 512;
/** The authorizer carried an answer to a challenge. */
export const INFO_HAVE_CHALLENGE = 1024;
/** Part b opened under the ticket's session key: who speaks is proved. */
export const INFO_PROVEN = 2048;
/** The answered challenge was compared and equal. */
export const INFO_CHALLENGED = 4096;
/** The caps buffer decodes as one string (with or without bytes after it). */
export const INFO_CAPS_DECODED = 8192;
/** The caps buffer is not empty. */
export const INFO_CAPS_PRESENT = 16384;
/** The secret block holds an entry for this record. */
export const INFO_SECRETS = 32768;
/** The explain detail was cut because the response was full. */
export const INFO_DETAIL_CUT = 65536;
/** Of the host: the store is out of sight, so a revocation may be missing. */
export const INFO_STALE = 131072;

// ---------------------------------------------------------------------------------------------
// Secret block: the only way keys leave; by flag; wiped at the start of the next call.
// u32 entries, u32 bytes used, then entries back to back.
// ---------------------------------------------------------------------------------------------

export const SECRET_COUNT = 0;
export const SECRET_USED = 4;
export const SECRET_FIRST = 8;
/** u32: bytes of the entry, a multiple of 8. */
export const SECRET_ENTRY_BYTES = 0;
/** u32: index of the record in the call, from 0. */
export const SECRET_ENTRY_RECORD = 4;
/** u64: nonce of the authorizer. */
export const SECRET_ENTRY_NONCE = 8;
/** u32: bytes of the encoded session CryptoKey; u32: bytes of the connection secret (0 or 64). */
export const SECRET_ENTRY_KEY_LEN = 16;
export const SECRET_ENTRY_CONNECTION_LEN = 20;
/** The encoded CryptoKey, then the connection secret. */
export const SECRET_ENTRY_DATA = 24;

/** Length of a connection secret, in bytes. */
export const CONNECTION_SECRET_LEN = 64;

// ---------------------------------------------------------------------------------------------
// Reasons (interface section 3.6): what a caller may see.
// ---------------------------------------------------------------------------------------------

export const REASON_OK = 0;
export const REASON_AUTHORIZER_MALFORMED = 1;
export const REASON_AUTHORIZER_MODE = 2;
export const REASON_AUTHORIZER_SERVICE = 3;
export const REASON_AUTHORIZER_SECRET_UNKNOWN = 4;
export const REASON_AUTHORIZER_INVALID = 5;
export const REASON_AUTHORIZER_CHALLENGE_REQUIRED = 6;
export const REASON_AUTHORIZER_CHALLENGE_MISMATCH = 7;
/** Given by the sidecar only. */
export const REASON_AUTHORIZER_CHALLENGE_EXPIRED = 8;
export const REASON_TICKET_IMPLAUSIBLE = 9;
export const REASON_TICKET_CIPHER_NOT_ALLOWED = 10;
export const REASON_TICKET_REVOKED = 11;
export const REASON_TICKET_EXPIRED = 12;
export const REASON_TICKET_NOT_YET_VALID = 13;
export const REASON_SESSION_UNKNOWN = 14;
export const REASON_SESSION_EXPIRED = 15;
export const REASON_SESSION_PEER_MISMATCH = 16;
/** Given by the sidecar only. */
export const REASON_ENTITY_UNKNOWN = 17;
export const REASON_SIGNATURE_MISMATCH = 18;
export const REASON_SIGNATURE_UNSUPPORTED = 19;
export const REASON_CAPS_NONE = 20;
export const REASON_CAPS_UNPARSABLE = 21;
export const REASON_CAPS_NO_MATCHING_GRANT = 22;
export const REASON_CAPS_NETWORK_MISMATCH = 23;
export const REASON_CAPS_CLASS_NOT_ALLOWED = 24;
export const REASON_LIMIT_EXCEEDED = 25;
export const REASON_RECORD_MALFORMED = 26;
/** Number of reasons. */
/** Of the host: what it knows of the store is older than it may be. */
export const REASON_STORE_STALE = 27;
export const REASON_COUNT = 28;

// ---------------------------------------------------------------------------------------------
// Checks: the exact, ordered rule that failed. Numbers below 16 are decided from public bytes.
// Check 16 + i is bit i of the fold that `verify` makes after the secret look-up, so the order
// of the numbers is the order of the steps (spec section 13).
// ---------------------------------------------------------------------------------------------

export const CHECK_OK = 0;
/** Record: impossible length, or a variable part outside the record. */
export const CHECK_RECORD_LENGTH = 1;
export const CHECK_RECORD_KIND = 2;
/** Record: unknown flag, or a flag the host did not grant. */
export const CHECK_RECORD_FLAGS = 3;
/** Record: a field has a value outside its range. */
export const CHECK_RECORD_FIELD = 4;
/** A limit of this file, or a full table. */
export const CHECK_LIMIT = 5;
/** The random pool ran dry: the host gave too few bytes. */
export const CHECK_RANDOM = 6;
/** Outer bytes end too early (`decode.truncated`). */
export const CHECK_OUTER_TRUNCATED = 8;
export const CHECK_AUTHORIZER_MODE = 9;
export const CHECK_OUTER_TRAILING = 10;
export const CHECK_AUTHORIZER_SERVICE = 11;
export const CHECK_SECRET_UNKNOWN = 12;

/** First check of the fold. */
export const CHECK_FOLD = 16;
export const CHECK_TICKET_KEY_EMPTY = 16;
export const CHECK_TICKET_CIPHERTEXT_LENGTH = 17;
export const CHECK_TICKET_MAC = 18;
export const CHECK_TICKET_PADDING = 19;
export const CHECK_TICKET_ENVELOPE_SHORT = 20;
export const CHECK_TICKET_ENVELOPE_MAGIC = 21;
export const CHECK_TICKET_TRUNCATED = 22;
/** Session key: unknown type. */
export const CHECK_SESSION_KEY_TYPE = 23;
/** Session key: secret shorter than its type needs, or longer than KEY_SECRET_LEN_MAX. */
export const CHECK_SESSION_KEY_LENGTH = 24;
export const CHECK_TICKET_TRAILING = 25;
export const CHECK_HARDEN_AUID = 26;
export const CHECK_HARDEN_ALLOW_ALL = 27;
export const CHECK_HARDEN_CAPS = 28;
export const CHECK_HARDEN_NSEC = 29;
export const CHECK_HARDEN_TIME_ORDER = 30;
export const CHECK_HARDEN_SPAN = 31;
export const CHECK_HARDEN_SESSION_KEY_CREATED = 32;
export const CHECK_GLOBAL_ID = 33;
/** Session key: empty, or of type none: nothing can be opened with it. */
export const CHECK_SESSION_KEY_EMPTY = 34;
export const CHECK_AUTHORIZE_CIPHERTEXT_LENGTH = 35;
export const CHECK_AUTHORIZE_MAC = 36;
export const CHECK_AUTHORIZE_PADDING = 37;
export const CHECK_AUTHORIZE_ENVELOPE_SHORT = 38;
export const CHECK_AUTHORIZE_ENVELOPE_MAGIC = 39;
export const CHECK_AUTHORIZE_TRUNCATED = 40;
export const CHECK_AUTHORIZE_TRAILING = 41;
export const CHECK_CHALLENGE_MISSING = 42;
export const CHECK_CHALLENGE_MISMATCH = 43;
export const CHECK_POLICY_CIPHER = 44;
export const CHECK_TICKET_REVOKED = 45;
export const CHECK_TICKET_EXPIRED = 46;
export const CHECK_TICKET_NOT_YET_VALID = 47;
/** Number of checks. */
export const CHECK_COUNT = 48;

// ---------------------------------------------------------------------------------------------
// Conditions: why a grant did not allow, in the order of examination. The grant that got furthest
// (the highest number; the first such grant) is the nearest miss.
// ---------------------------------------------------------------------------------------------

export const CONDITION_NONE = 0;
/** A profile that grants nothing to this service. */
export const CONDITION_PROFILE = 1;
export const CONDITION_POOL = 2;
export const CONDITION_NAMESPACE = 3;
export const CONDITION_TAG = 4;
export const CONDITION_OBJECT_PREFIX = 5;
/** OSD: read or write is wanted and the grant has it not. */
export const CONDITION_PERMISSION = 6;
/** OSD: some class call is not covered. */
export const CONDITION_CLASS = 7;
export const CONDITION_UID = 8;
export const CONDITION_GIDS = 9;
export const CONDITION_PATH = 10;
/** MDS: the grant's letters do not cover the mask. */
export const CONDITION_MDS_PERMISSION = 11;
export const CONDITION_ROOT_SQUASH = 12;
export const CONDITION_CHOWN = 13;
export const CONDITION_CHGRP = 14;
/** MDS: uid is given and the file mode does not allow. */
export const CONDITION_MODE = 15;
/** Everything else fits, but the peer is outside the network (or the network is unusable). */
export const CONDITION_NETWORK = 16;
/** Explain only: a grant before this one had allowed. */
export const CONDITION_NOT_EXAMINED = 17;
/** MDS: no grant opens the file system that the operation names. */
export const CONDITION_FSNAME = 18;

// ---------------------------------------------------------------------------------------------
// Compiled grants: GRANT_LEN bytes each. A profile is one entry of kind GRANT_PROFILE followed by
// the entries that it expands to (GRANT_CHILD set). String references are (u32 offset into the
// caps text, u32 length); offsets from GRANT_LITERAL_BASE up point into the literal table.
// ---------------------------------------------------------------------------------------------

/** u8: GRANT_* kind. */
export const GRANT_KIND = 0;
/** u8: PROFILE_* index, 0 for none. */
export const GRANT_PROFILE_INDEX = 1;
/** u16: GRANT_HAS_* bits. */
export const GRANT_FLAGS = 2;
/** u32: permission bits (CAP_*); mds: MDS_CAP_* bits. */
export const GRANT_MASK = 4;
/** OSD: pool, or the application of a tag. MDS: path. Profile: its name is in GRANT_E. */
export const GRANT_A = 8;
/** OSD: namespace, a trailing `*` of a glob not counted. MDS: fsname. */
export const GRANT_B = 16;
/** OSD: object prefix, or key of a tag. MDS: gids, as (offset, count) of u32 in the gid array. */
export const GRANT_C = 24;
/** OSD: value of a tag. */
export const GRANT_D = 32;
/** OSD: class name. Profile: its name. */
export const GRANT_E = 40;
/** OSD: method. MDS: u32 uid, u32 0. */
export const GRANT_F = 48;
/** u8: network family 4 or 6, 0 for an unusable one; u8 prefix length in bits; u16 0. */
export const GRANT_NET_FAMILY = 56;
export const GRANT_NET_BITS = 57;
/** u32: index of the written grant that this entry belongs to. */
export const GRANT_INDEX = 60;
/** 16 address bytes in network order, masked to the prefix length. */
export const GRANT_NET = 64;
export const GRANT_LEN = 80;
/** First string offset that means the literal table instead of the text (2^30). */
export const GRANT_LITERAL_BASE = 1073741824;

/** Source spans lie in an array of their own: u32 start, u32 end, per written grant. */
export const SPAN_LEN = 8;

/** allow SPEC MATCH with permission bits. */
export const GRANT_PERMS = 1;
/** allow class NAME [METHOD] MATCH. */
export const GRANT_CLASS = 2;
/** A profile as written; grants nothing itself. */
export const GRANT_PROFILE = 3;
/** An MDS grant. */
export const GRANT_MDS = 4;

export const GRANT_HAS_POOL = 1;
export const GRANT_HAS_NAMESPACE = 2;
/** The namespace ends with `*`: compare the part before it as a prefix. */
export const GRANT_NAMESPACE_GLOB = 4;
export const GRANT_HAS_TAG = 8;
export const GRANT_TAG_KEY_ANY = 16;
export const GRANT_TAG_VALUE_ANY = 32;
export const GRANT_HAS_PREFIX = 64;
export const GRANT_HAS_METHOD = 128;
export const GRANT_HAS_NETWORK = 256;
/** The entry comes from the expansion of the profile before it. */
export const GRANT_CHILD = 512;
export const GRANT_HAS_PATH = 1024;
export const GRANT_HAS_FSNAME = 2048;
export const GRANT_ROOT_SQUASH = 4096;
export const GRANT_HAS_UID = 8192;
export const GRANT_HAS_GIDS = 16384;

/** OSD permission bits (Ceph: OSDCap.h). */
export const CAP_R = 2;
export const CAP_W = 4;
export const CAP_CLASS_R = 8;
export const CAP_CLASS_W = 16;
export const CAP_X = 24;
export const CAP_ANY = 255;

/** MDS permission bits (Ceph: MDSAuthCaps.h). */
export const MDS_CAP_READ = 1;
export const MDS_CAP_WRITE = 2;
export const MDS_CAP_FULL = 4;
export const MDS_CAP_SET_VXATTR = 8;
export const MDS_CAP_SNAPSHOT = 16;
/** `*`: all of them and a bit of its own, since `rwfps` is not "allow all". */
export const MDS_CAP_ALL = 63;

export const PROFILE_UNKNOWN = 1;
export const PROFILE_READ_ONLY = 2;
export const PROFILE_READ_WRITE = 3;
export const PROFILE_RBD = 4;
export const PROFILE_RBD_READ_ONLY = 5;

/** Counters of the ticket cache: u32 words that the host reads; all but held and most wrap. */
export const TICKETS_HITS = 0;
/** Look-ups that found nothing while the cache was on. */
export const TICKETS_MISSES = 4;
/** Times that the cache was emptied while it held something: ring, policy or `cache_clear`. */
export const TICKETS_EMPTIED = 8;
/** Tickets held now, and at most under this preset. */
export const TICKETS_HELD = 12;
export const TICKETS_MAX = 16;
/** Tickets that gave way to another one of their set. */
export const TICKETS_EVICTED = 20;
export const TICKETS_LEN = 24;

/** Caps view, filled by `caps_view(handle)`: u32 words. */
export const CAPS_VIEW_TEXT = 0;
export const CAPS_VIEW_TEXT_LEN = 4;
export const CAPS_VIEW_GRANTS = 8;
export const CAPS_VIEW_GRANT_COUNT = 12;
export const CAPS_VIEW_SPANS = 16;
export const CAPS_VIEW_SPAN_COUNT = 20;
export const CAPS_VIEW_GIDS = 24;
export const CAPS_VIEW_GID_COUNT = 28;
export const CAPS_VIEW_LEN = 32;

// ---------------------------------------------------------------------------------------------
// Work block: in and out area of the exports that are not records (keys, sealing, primitives).
// ---------------------------------------------------------------------------------------------

/** The key: an encoded CryptoKey for cephx operations, raw bytes for primitives. 4 KiB. */
export const WORK_KEY = 0;
export const WORK_KEY_LEN = 4096;
/** 16 bytes: confounder (seal) or IV (primitive aes-cbc). */
export const WORK_IV = 4096;
/** Out: results shorter than 64 bytes (hashes, challenge hash, derived keys). */
export const WORK_OUT = 4112;
/** Input of seal, open and primitives: up to WORK_DATA_LEN bytes. */
export const WORK_DATA = 4224;
export const WORK_DATA_LEN = 81920;
/** Output of seal, open and of primitives that give as many bytes as they take. */
export const WORK_RESULT = 86144;
/** Length of the whole block. */
export const WORK_LEN = 168192;

/** secret_put reads the work block: u32 service, u32 0, u64 secret_id, u64 expires ns (0: none). */
export const PUT_SERVICE = 4096;
export const PUT_SECRET_ID = 4104;
export const PUT_EXPIRES = 4112;

/** seal/open: the object is wrapped in the cephx envelope (struct_v 1, magic). */
export const SEAL_ENVELOPE = 1;
/** seal/open: a u32 length stands before the ciphertext. */
export const SEAL_PREFIXED = 2;

/** primitive(): what to compute. */
export const PRIMITIVE_AES128_ENCRYPT = 1;
export const PRIMITIVE_AES128_DECRYPT = 2;
export const PRIMITIVE_AES256_ENCRYPT = 3;
export const PRIMITIVE_AES256_DECRYPT = 4;
export const PRIMITIVE_AES128_CBC_ENCRYPT = 5;
export const PRIMITIVE_AES128_CBC_DECRYPT = 6;
export const PRIMITIVE_AES256_CBC_ENCRYPT = 7;
export const PRIMITIVE_AES256_CBC_DECRYPT = 8;
export const PRIMITIVE_SHA256 = 9;
export const PRIMITIVE_SHA384 = 10;
export const PRIMITIVE_HMAC_SHA256 = 11;
export const PRIMITIVE_HMAC_SHA384 = 12;
/** Derived keys of RFC 8009: tag 0xAA (Ke, 32 bytes), 0x55 (Ki, 24 bytes), 0x99 (Kc, 24 bytes). */
export const DERIVE_KE = 170;
export const DERIVE_KI = 85;
export const DERIVE_KC = 153;

/** revoke() reads the work block at WORK_IV: u32 op, u32 subject, u64 value, u64 time ns. */
export const REVOKE_OP = 4096;
export const REVOKE_SUBJECT = 4100;
/** u64: global_id, or entity type of the service. */
export const REVOKE_VALUE = 4104;
/** u64: not_before, in nanoseconds. */
export const REVOKE_TIME = 4112;
/** u32: entity type; then the entity id is at WORK_KEY with the length given to the call. */
export const REVOKE_ENTITY_TYPE = 4120;
export const REVOKE_DENY = 1;
export const REVOKE_LIFT = 2;
export const REVOKE_NOT_BEFORE = 3;
export const REVOKE_CLEAR = 4;
export const SUBJECT_ENTITY = 1;
export const SUBJECT_GLOBAL_ID = 2;
export const SUBJECT_SERVICE = 3;
export const SUBJECT_ALL = 4;
