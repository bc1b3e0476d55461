/*
 * sender.c
 *		The relay's side to the sink: actions go out, answers become results.
 */
#include "relay/relay_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/json.h"
#include "common/secret.h"

/* What this relay cannot sign is put off so long. */
#define UNSIGNED_DELAY (10 * SECOND)

/* An action is sent only while this part of its lease is left: the lease is extended
 * when a third has passed, so something is wrong if less is left. */
#define LEASE_NEEDED(lease) ((lease) / 3)

/*
 * Note the result of an action, and release the action.  The text is what
 * relay->text contains, or nothing.  Also records whether the gateway has seen
 * the id.
 */
static void
conclude(Relay *relay, Action *action, ResultKind kind, bool with_text, bool seen,
		 int64_t retry_after)
{
	Result result = {
		.outbox_id = action->outbox_id,
		.token = action->lease->token,
		.retry_after = retry_after,
		.since = ClockNow(),
	};

	if (seen)
		memcpy(result.action_id, action->action_id, sizeof(result.action_id));
	if (with_text)
	{
		result.text = Duplicate(BufferText(&relay->text), relay->text.len);
		result.len = relay->text.len;
	}
	ResultsAdd(&relay->results, kind, &result);
	HeldConclude(&relay->held, action);
	if (relay->text.size > 64 * 1024)
		BufferFree(&relay->text);
}

/*
 * Give all unsent actions back; another relay may have more luck.
 */
static void
give_back(Relay *relay)
{
	Action *action;

	while ((action = HeldTake(&relay->held)) != NULL)
	{
		if (action->lease->lost)
		{
			counters.leases_lost++;
			HeldRelease(&relay->held, action);
		}
		else
			conclude(relay, action, RESULT_NACK, false, false, -1);
	}
}

/*
 * Log what an answer has changed.
 */
static void
report(Relay *relay, ThrottleChange change, const Action *action, const Answer *answer)
{
	const SinkKind *kind = relay->sink->kind;
	const char *place = SinkPlace(relay->settings);
	char event[60];

	if (change == THROTTLE_UNCHANGED)
		return;
	snprintf(event, sizeof(event), "%s %s", kind->name,
			 change == THROTTLE_RESUMED               ? "is back"
			 : relay->throttle.state == THROTTLE_DOWN ? "unavailable"
													  : "refuses us");
	if (change == THROTTLE_RESUMED)
		Log(LOG_INFO, event, LogNumber("status", answer->status));
	else if (relay->throttle.state == THROTTLE_DOWN)
		Log(LOG_ERROR, event, LogText("url", place), LogText("error", BufferText(&relay->text)),
			LogText("hint", "nothing is claimed but single actions until one succeeds"));
	else
		Log(LOG_ERROR, event, LogText("url", place), LogNumber("status", answer->status),
			LogNumber("outbox_id", action->outbox_id), LogText("error", BufferText(&relay->text)),
			LogText("hint", kind->hint(answer->status)));
}

/*
 * The hash of a member that precedes the payload of an action, as it is written
 * there.  Everything that precedes the payload is a string, in which a quote would
 * be escaped.
 */
static uint64_t
hash_member(uint64_t seed, const Action *action, const char *start)
{
	size_t len = strlen(start);
	const char *at = memmem(action->body, action->len, start, len);
	const char *end;

	if (at == NULL)
		return ThrottleHash(seed, "", 0);
	at += len;
	for (end = at; end < action->body + action->len && *end != '"'; end++)
	{
		if (*end == '\\')
			end++;
	}
	return ThrottleHash(seed, at, (size_t) (end - at));
}

/*
 * Whose action it is.
 */
static uint64_t
tenant_of(const Action *action)
{
	return hash_member(0, action, "\", \"tenant\": \"");
}

/*
 * What an answer is about: requests to one provider that ended in the same way take
 * about as long.  Only those that the gateway has carried out tell how busy it is.
 */
static ThrottleSubject
subject_of(const Action *action, const Judgement *judgement, const Buffer *tag, int64_t duration)
{
	ThrottleSubject subject = {.tenant = tenant_of(action), .duration = duration};

	subject.executed =
		judgement->fate == FATE_ACK && judgement->health == GATEWAY_WORKS && tag->len > 0;
	if (subject.executed)
		subject.kind =
			hash_member(ThrottleHash(0, tag->data, tag->len), action, "\", \"provider\": \"");
	return subject;
}

/*
 * An answer has come, or none will.
 */
static void
answered(void *owner, Action *action, const Answer *answer, int64_t duration)
{
	Relay *relay = owner;
	Judgement judgement;
	ThrottleSubject subject;
	char *trace = TraceId(&action->trace);

	BufferClear(&relay->text);
	judgement = relay->sink->kind->judge(answer, &relay->text, &relay->tag);
	subject = subject_of(action, &judgement, &relay->tag, duration);
	if (answer->failure == NULL && judgement.health != GATEWAY_FAULTY)
		SinkIsReached(relay->sink);
	CountAnswer(answer->failure == NULL ? answer->status : 0, duration);
	Log(LOG_DEBUG, "answer", LogNumber("outbox_id", action->outbox_id),
		LogNumber("attempt", action->attempt), LogNumber("status", answer->status),
		LogNumber("us", duration), LogText("trace", trace),
		LogText("error", judgement.fate == FATE_ACK ? "" : BufferText(&relay->text)));
	free(trace);
	report(relay, ThrottleAnswered(&relay->throttle, &judgement, &subject, ClockNow()), action,
		   answer);
	switch (judgement.fate)
	{
		case FATE_ACK:
			conclude(relay, action, RESULT_ACK, true, true, -1);
			break;
		case FATE_RETRY:
			conclude(relay, action, RESULT_NACK, true, judgement.seen, -1);
			break;
		case FATE_LATER:
			conclude(relay, action, RESULT_NACK, false, judgement.seen, judgement.delay);
			break;
		case FATE_DEAD:
			Log(LOG_WARNING, "action ends dead", LogNumber("outbox_id", action->outbox_id),
				LogText("error", BufferText(&relay->text)));
			conclude(relay, action, RESULT_REJECT, true, judgement.seen, -1);
			break;
		case FATE_DOUBT:
			conclude(relay, action, RESULT_DOUBT, true, true, -1);
			break;
	}
}

/*
 * Reject an action, for a reason that relay->text contains.
 */
static void
reject(Relay *relay, Action *action)
{
	Log(LOG_WARNING, "action ends dead", LogNumber("outbox_id", action->outbox_id),
		LogText("error", BufferText(&relay->text)));
	conclude(relay, action, RESULT_REJECT, true, true, -1);
}

/*
 * Give an action back that this relay cannot sign, which is not the action's fault: the key
 * may be added, and another relay may have it.  So the attempt does not count.
 */
static void
give_back_unsigned(Relay *relay, Action *action)
{
	if (!relay->told_unsigned)
		Log(LOG_ERROR, "cannot sign an action", LogNumber("outbox_id", action->outbox_id),
			LogText("error", BufferText(&relay->text)),
			LogText("hint", "add the key to the file of --signing-key-file, then SIGHUP"));
	relay->told_unsigned = true;
	ThrottlePutOff(&relay->throttle, ClockNow());
	conclude(relay, action, RESULT_NACK, false, false, Jittered(UNSIGNED_DELAY));
}

/*
 * Open the payload of an action, if it is sealed, and sign the action, if there are keys
 * for that.  The body that is to be sent becomes action->opened, unless it is that of the
 * action.  False if it cannot be sent, and was concluded.
 */
static bool
prepare_body(Relay *relay, Action *action)
{
	Buffer *opened = &action->opened;
	Buffer members = {0};
	bool is_opened;
	Signature signature = SIGNED;

	BufferClear(&relay->text);
	switch (OpenSealedPayload(relay->keys, action->body, action->len, opened, &relay->text))
	{
		case CANNOT_OPEN:
			reject(relay, action);
			return false;
		case OPENED:
		case NOT_SEALED:
			break;
	}
	if (relay->signers == NULL)
		return true;
	is_opened = opened->len > 0;
	signature = SignAction(relay->signers, is_opened ? opened->data : action->body,
						   is_opened ? opened->len : action->len, &members, &relay->text);
	if (signature == SIGNED)
	{
		if (!is_opened)
		{
			BufferReserve(opened, action->len + members.len);
			BufferAppend(opened, action->body, action->len);
		}
		SignatureAppend(opened, &members);
	}
	else if (signature == CANNOT_SIGN)
		reject(relay, action);
	else
		give_back_unsigned(relay, action);
	BufferFree(&members);
	return signature == SIGNED;
}

/*
 * Send an action, if that can be done.
 */
static void
send_action(Relay *relay, Action *action)
{
	const char *body = action->body;
	size_t len = action->len;

	if (!prepare_body(relay, action))
		return;
	if (action->opened.len > 0)
	{
		body = action->opened.data;
		len = action->opened.len;
	}
	if (!TraceOfBody(&action->trace, action->body, action->len) && relay->settings->trace &&
		!TraceMake(&action->trace))
		Log(LOG_WARNING, "cannot draw random bytes", LogNumber("outbox_id", action->outbox_id));
	relay->sink->kind->send(relay->sink, action, body, len);
	ThrottleSent(&relay->throttle, ClockNow());
	counters.sent++;
}

/*
 * Take the next action out and do with it what is to be done: send it, give it
 * back if it has expired, and the database ends it, or if its tenant rests; forget it if it
 * is somebody else's.
 */
static void
handle_next(Relay *relay, int64_t now)
{
	Action *action = HeldTake(&relay->held);
	int64_t rest = ThrottleRest(&relay->throttle, tenant_of(action), now);

	if (action->lease->lost)
	{
		counters.leases_lost++;
		HeldRelease(&relay->held, action);
	}
	else if (now >= action->expires_at)
		conclude(relay, action, RESULT_NACK, false, false, -1);
	else if (rest > 0)
	{
		ThrottlePutOff(&relay->throttle, now);
		conclude(relay, action, RESULT_NACK, false, false, rest + Jittered(SECOND));
	}
	else
		send_action(relay, action);
}

/*
 * May the next action be sent now?  It may not if its lease might end before it is
 * extended, which is the task of the database side.
 */
static bool
may_go(Relay *relay, const Action *action, int64_t now, int64_t *wake)
{
	int64_t needed = LEASE_NEEDED(relay->settings->lease);

	if (action->lease->lost)
		return true;
	return action->lease->until - now >= needed &&
		   ThrottleMaySend(&relay->throttle, relay->sink->in_flight, now, wake);
}

/*
 * Send what may be sent now.
 */
void
SendSideAdvance(Relay *relay, int64_t now, int64_t *wake)
{
	Held *held = &relay->held;

	if (relay->stopping || (relay->throttle.state != THROTTLE_OPEN && now < relay->throttle.resume))
		give_back(relay);
	while (held->first != NULL && relay->results.bytes <= MAX_RESULT_BYTES &&
		   may_go(relay, held->first, now, wake))
		handle_next(relay, now);
	ThrottleIsPuttingOff(&relay->throttle, now, wake);
}

/*
 * Read the keys that open payloads.  NULL, with an error logged, if a file is wrong.
 */
static Keyring *
read_keyring(const Settings *settings)
{
	char *error = NULL;
	Keyring *keys = KeyringRead(&settings->payload_key_files, &error);

	if (keys == NULL)
		Log(LOG_ERROR, "cannot read a key file", LogText("error", error));
	free(error);
	return keys;
}

/*
 * Read the keys that sign actions, if there is a file with them.  False, with an error
 * logged, if it is wrong.
 */
static bool
read_signers(const Settings *settings, Signers **signers)
{
	char *error = NULL;

	*signers = NULL;
	if (settings->signing_key_file == NULL)
		return true;
	*signers = SignersRead(settings->signing_key_file, &error);
	if (*signers == NULL)
		Log(LOG_ERROR, "cannot read a key file", LogText("error", error));
	free(error);
	return *signers != NULL;
}

/*
 * A number for a file as it is now, and for another number before it.
 */
static uint64_t
see_file(uint64_t seen, const char *path)
{
	struct stat now;
	int64_t facts[7] = {0};

	if (path == NULL)
		return seen;
	if (stat(path, &now) == 0)
	{
		facts[0] = (int64_t) now.st_dev;
		facts[1] = (int64_t) now.st_ino;
		facts[2] = now.st_size;
		facts[3] = now.st_mtim.tv_sec;
		facts[4] = now.st_mtim.tv_nsec;
		facts[5] = now.st_ctim.tv_sec;
		facts[6] = now.st_ctim.tv_nsec;
	}
	return ThrottleHash(seen, (const char *) facts, sizeof(facts));
}

/*
 * The same for all files with secrets.
 */
static uint64_t
see_files(const Settings *settings)
{
	uint64_t seen = see_file(see_file(0, settings->api_key_file), settings->kafka_option_file);

	seen = see_file(seen, settings->signing_key_file);
	for (int i = 0; i < settings->payload_key_files.count; i++)
		seen = see_file(seen, settings->payload_key_files.texts[i]);
	return seen;
}

/*
 * Read the files with secrets again, and use them.  One that is wrong is not used:
 * what was read before stays.
 */
void
SendSideReload(Relay *relay)
{
	Keyring *keys;
	Signers *signers;

	relay->files_seen = see_files(relay->settings);
	keys = read_keyring(relay->settings);
	if (keys != NULL)
	{
		KeyringFree(relay->keys);
		relay->keys = keys;
	}
	if (read_signers(relay->settings, &signers))
	{
		SignersFree(relay->signers);
		relay->signers = signers;
		relay->told_unsigned = false;
	}
	relay->sink->kind->reload(relay->sink);
}

/*
 * The same, if one of the files is not what it was when they were last read.
 */
void
SendSideReloadChanged(Relay *relay)
{
	if (see_files(relay->settings) != relay->files_seen)
		SendSideReload(relay);
}

/*
 * Get ready to send.  False if a file is wrong.
 */
bool
SendSideStart(Relay *relay)
{
	const Settings *settings = relay->settings;
	const SinkKind *kind = SinkKindOf(settings);
	SinkHandlers handlers = {relay, answered};

	for (int i = 0; i < settings->payload_key_files.count; i++)
		SecretWarnIfExposed(settings->payload_key_files.texts[i]);
	relay->files_seen = see_files(settings);
	relay->keys = read_keyring(settings);
	if (relay->keys != NULL && read_signers(settings, &relay->signers))
		relay->sink = kind->open(settings, handlers);
	if (relay->sink == NULL)
		return false;
	ThrottleStart(&relay->throttle, settings->concurrency, settings->share, settings->max_rate,
				  ClockNow());
	if (kind->has_own_queue)
		ThrottleFix(&relay->throttle, settings->concurrency);
	return true;
}
