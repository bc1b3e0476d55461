/*
 * reconstruct.c
 *		What a replayed action looks like.
 *
 * The gateway keeps an action's labels and some of its fields together in the
 * record's metadata.  Keys that begin with "__" are the system's: five of them
 * become fields again, the others are dropped.  All other keys are labels.  A
 * label is a string; a value that is none becomes its compact JSON text.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

#include "base/compact_json.h"
#include "base/json_text.h"
#include "base/jsonb_writer.h"
#include "base/rfc3339.h"
#include "base/settings.h"
#include "base/trace.h"
#include "batch/notification.h"
#include "query/patch.h"
#include "queue/action_body.h"
#include "replay/reconstruct.h"

#define SYSTEM_PREFIX "__"
#define REPLAYED_FROM "replayed_from"
#define OWN_LABELS 4 /* at most: that, PATCH_LABEL and the trace */
#define DEDUP_KEY "__dedup_key"

/*
 * A jsonb that is nested so deep that writing it takes too much stack is larger: each
 * level takes at least eight bytes of it, and more of the stack.
 */
#define DEEP_BYTES 8192

/* ----------------------------------------------------------------
 * Labels and system keys
 * ----------------------------------------------------------------
 */

/*
 * Whether a key is a given name.
 */
static bool
key_is(const JsonbValue *key, const char *name)
{
	return key->val.string.len == strlen(name) &&
		   memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

static bool
is_system_key(const JsonbValue *key)
{
	return key->val.string.len >= strlen(SYSTEM_PREFIX) &&
		   memcmp(key->val.string.val, SYSTEM_PREFIX, strlen(SYSTEM_PREFIX)) == 0;
}

/*
 * Take a system key over into the action.  Strings only, and times only if
 * they parse; everything else is dropped, as the gateway does.  Returns whether the
 * key is to be kept among the labels: with a time that its column cannot hold.
 */
static bool
read_system_key(Action *action, const JsonbValue *key, const JsonbValue *value)
{
	OptionalTime *time = NULL;
	text **field = NULL;
	bool is_exact = true;

	if (value->type != jbvString)
		return false;
	if (key_is(key, DEDUP_KEY))
		field = &action->dedup_key;
	else if (key_is(key, "__status"))
		field = &action->status;
	else if (key_is(key, FINGERPRINT_KEY))
		field = &action->fingerprint;
	else if (key_is(key, EXACT_STARTS_AT))
		time = &action->starts_at;
	else if (key_is(key, EXACT_ENDS_AT))
		time = &action->ends_at;

	if (field != NULL)
		*field = cstring_to_text_with_len(value->val.string.val, value->val.string.len);
	else if (time != NULL)
		time->given = ParseRfc3339(value->val.string.val, value->val.string.len, false, &time->time,
								   &is_exact);
	return time != NULL && time->given && !is_exact;
}

/*
 * Make a label out of a key and its value.
 */
static void
set_label(JsonPair *label, const JsonbValue *key, const JsonbValue *value)
{
	label->type = JENTRY_ISSTRING;
	label->key = key->val.string.val;
	label->key_len = key->val.string.len;
	if (value->type == jbvString)
	{
		label->value = value->val.string.val;
		label->value_len = value->val.string.len;
	}
	else
	{
		StringInfoData text;

		initStringInfo(&text);
		AppendCompactJson(&text, value, AppendStoredNumber);
		label->value = text.data;
		label->value_len = text.len;
	}
}

/*
 * Put a label of our own at its place among the others, which are in jsonb's order
 * already, or over an older one.  There is room for it.
 */
static void
add_label(JsonPair *labels, int *count, const char *key, const char *value, uint32 value_len)
{
	int at = *count;
	uint32 len = strlen(key);

	while (at > 0 && CompareJsonKeys(labels[at - 1].key, labels[at - 1].key_len, key, len) >= 0)
		at--;
	if (at == *count || CompareJsonKeys(labels[at].key, labels[at].key_len, key, len) != 0)
	{
		memmove(&labels[at + 1], &labels[at], (*count - at) * sizeof(JsonPair));
		(*count)++;
	}
	labels[at].type = JENTRY_ISSTRING;
	labels[at].key = key;
	labels[at].key_len = len;
	labels[at].value = value;
	labels[at].value_len = value_len;
}

/*
 * Add the trace that the session is a part of, if it is of one.
 */
static void
add_trace(JsonPair *labels, int *count)
{
	char traceparent[TRACEPARENT_LEN + 1];
	const char *tracestate;

	if (!SessionTrace(traceparent, &tracestate))
		return;
	add_label(labels, count, TRACEPARENT_LABEL, pstrdup(traceparent), TRACEPARENT_LEN);
	if (tracestate != NULL)
		add_label(labels, count, TRACESTATE_LABEL, pstrdup(tracestate), strlen(tracestate));
}

/*
 * Reconstruct an action from its record, in the current memory context.  If its payload
 * is patched, patch_label says by which patch (PatchLabel); else it is NULL.
 * Metadata that is no object has no labels.  Returns false if the labels do
 * not fit into a jsonb value, which nothing but hand-made metadata can bring
 * about.
 */
bool
ReconstructAction(const AuditRecord *record, const char *patch_label, Action *action)
{
	JsonPair few[32];
	JsonPair *labels = few;
	int count = 0;

	memset(action, 0, sizeof(*action));
	if (record->has_metadata)
	{
		Jsonb *metadata = DatumGetJsonbP(record->metadata);

		if (JB_ROOT_IS_OBJECT(metadata))
		{
			JsonbIterator *it = JsonbIteratorInit(&metadata->root);
			JsonbIteratorToken token;
			JsonbValue key = {0}, value;

			if (JB_ROOT_COUNT(metadata) + OWN_LABELS > lengthof(few))
				labels = MemoryContextAllocHuge(CurrentMemoryContext,
												(JB_ROOT_COUNT(metadata) + OWN_LABELS) *
													sizeof(JsonPair));
			while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
			{
				if (token == WJB_KEY)
					key = value;
				else if (token != WJB_VALUE)
					continue;
				else if (!is_system_key(&key) || read_system_key(action, &key, &value))
					set_label(&labels[count++], &key, &value);
			}
		}
	}
	if (!record->is_notification)
	{
		add_label(labels, &count, REPLAYED_FROM, VARDATA_ANY(record->action_id),
				  VARSIZE_ANY_EXHDR(record->action_id));
		add_trace(labels, &count);
	}
	if (patch_label != NULL)
		add_label(labels, &count, PATCH_LABEL, patch_label, strlen(patch_label));
	action->labels = JsonObject(labels, count);
	return action->labels != NULL;
}

/* ----------------------------------------------------------------
 * What is to be known before
 * ----------------------------------------------------------------
 */

/*
 * The value of a record's metadata under a key, if it is a string.
 */
static bool
metadata_string(const AuditRecord *record, const char *key, JsonbValue *value)
{
	Jsonb *metadata;

	if (!record->has_metadata)
		return false;
	metadata = DatumGetJsonbP(record->metadata);
	return JB_ROOT_IS_OBJECT(metadata) &&
		   getKeyJsonValueFromContainer(&metadata->root, key, strlen(key), value) != NULL &&
		   value->type == jbvString;
}

/*
 * Whether a jsonb is an object with values that are no scalars.
 */
static bool
holds_containers(const Jsonb *json)
{
	if (!JB_ROOT_IS_OBJECT(json))
		return false;
	/* The entries of the values follow those of the keys. */
	for (uint32 i = JB_ROOT_COUNT(json); i < 2 * JB_ROOT_COUNT(json); i++)
	{
		if (JBE_ISCONTAINER(json->root.children[i]))
			return true;
	}
	return false;
}

/*
 * Whether a value may be damaged, or nested too deep: it does not lie in its row as
 * it is, or it is large.
 */
static bool
is_suspect(Datum value)
{
	const struct varlena *json = (const struct varlena *) DatumGetPointer(value);

	return VARATT_IS_EXTERNAL(json) || VARATT_IS_COMPRESSED(json) ||
		   VARSIZE_ANY_EXHDR(json) >= DEEP_BYTES;
}

/*
 * Raise the error of a record that could not be replayed or, later, not be handed
 * out: one whose payload or metadata cannot be fetched, or is nested deeper than
 * the stack is.
 */
void
CheckReadable(const AuditRecord *record)
{
	if (record->has_metadata && is_suspect(record->metadata))
	{
		Action action;

		if (holds_containers(DatumGetJsonbP(record->metadata)))
			(void) ReconstructAction(record, NULL, &action);
	}
	if (is_suspect(record->payload))
	{
		Jsonb *json = DatumGetJsonbP(record->payload);

		if (VARSIZE_ANY_EXHDR(json) >= DEEP_BYTES)
			CheckJsonbDepth(json);
		if ((Pointer) json != DatumGetPointer(record->payload))
			pfree(json);
	}
}

/*
 * Whether a record says of itself that its action is a replay.
 */
bool
IsLabelledReplay(const AuditRecord *record)
{
	JsonbValue value;

	return metadata_string(record, REPLAYED_FROM, &value);
}

/*
 * The action of which a record's action is a replay, as the record says; NULL if
 * it does not.
 */
text *
ReplayedFrom(const AuditRecord *record)
{
	JsonbValue value;

	if (!metadata_string(record, REPLAYED_FROM, &value))
		return NULL;
	return cstring_to_text_with_len(value.val.string.val, value.val.string.len);
}

/*
 * Whether a record's action tells of a batch, as the record says.
 */
bool
IsLabelledNotification(const AuditRecord *record)
{
	JsonbValue value;

	return metadata_string(record, NOTIFY_LABEL, &value);
}

/*
 * When what a record's action is about ends, as far as it says so.
 */
OptionalTime
RecordEndsAt(const AuditRecord *record)
{
	OptionalTime ends_at = {false};
	JsonbValue value;
	bool is_exact;

	if (metadata_string(record, EXACT_ENDS_AT, &value))
		ends_at.given = ParseRfc3339(value.val.string.val, value.val.string.len, false,
									 &ends_at.time, &is_exact);
	return ends_at;
}

/*
 * Whether a record's action has a dedup key; sets *hash to a hash of it.
 */
bool
HasDedupKey(const AuditRecord *record, uint32 *hash)
{
	JsonbValue value;

	if (!metadata_string(record, DEDUP_KEY, &value))
		return false;
	*hash = hash_bytes((unsigned char *) value.val.string.val, value.val.string.len);
	return true;
}
