/*
 * relay_send.c
 *		The relay's side to the gateway: actions go out, answers become results.
 */
#include "relay_int.h"

#include <stdlib.h>
#include <string.h>

#include "secret.h"

/*
 * Note what became of an action, and let go of it.  The text is what relay->text
 * holds, or nothing.
 */
static void
conclude(Relay *relay, Action *action, ResultKind kind, bool with_text, int64_t retry_after)
{
	Result result = {
		.outbox_id = action->outbox_id,
		.token = action->lease->token,
		.retry_after = retry_after,
		.since = ClockNow(),
	};

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
 * Give all unsent actions back; others may have more luck.
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
			conclude(relay, action, RESULT_NACK, false, -1);
	}
}

/*
 * Say what an answer has changed.
 */
static void
report(Relay *relay, PaceChange change, const Action *action, const Answer *answer)
{
	if (change == PACE_RESUMED)
		Log(LOG_INFO, "gateway is back", LogNumber("status", answer->status));
	else if (change == PACE_STOPPED && relay->pace.state == PACE_DOWN)
		Log(LOG_ERROR, "gateway unavailable", LogText("url", relay->settings->gateway_url),
			LogText("error", BufferText(&relay->text)),
			LogText("hint", "nothing is claimed but single actions until one succeeds"));
	else if (change == PACE_STOPPED)
		Log(LOG_ERROR, "gateway refuses us", LogText("url", relay->settings->gateway_url),
			LogNumber("status", answer->status), LogNumber("outbox_id", action->outbox_id),
			LogText("error", BufferText(&relay->text)),
			LogText("hint", answer->status == 401 ? "check the key in --api-key-file"
							: answer->status == 403
								? "check what the key in --api-key-file is granted"
								: "check --gateway-url"));
}

/*
 * An answer has come.
 */
static void
answered(void *owner, void *item, const Answer *answer, int64_t duration)
{
	Relay *relay = owner;
	Action *action = item;
	Judgement judgement;

	BufferClear(&relay->text);
	judgement = JudgeAnswer(answer, &relay->text);
	CountAnswer(answer->failure == NULL ? answer->status : 0, duration);
	Log(LOG_DEBUG, "answer", LogNumber("outbox_id", action->outbox_id),
		LogNumber("attempt", action->attempt), LogNumber("status", answer->status),
		LogNumber("us", duration),
		LogText("error", judgement.fate == FATE_DELIVERED ? "" : BufferText(&relay->text)));
	report(relay, PaceAnswered(&relay->pace, &judgement, ClockNow()), action, answer);
	switch (judgement.fate)
	{
		case FATE_DELIVERED:
			conclude(relay, action, RESULT_ACK, true, -1);
			break;
		case FATE_RETRY:
			conclude(relay, action, RESULT_NACK, true, -1);
			break;
		case FATE_LATER:
			conclude(relay, action, RESULT_NACK, false, judgement.delay);
			break;
		case FATE_DEAD:
			Log(LOG_WARNING, "action ends dead", LogNumber("outbox_id", action->outbox_id),
				LogText("error", BufferText(&relay->text)));
			conclude(relay, action, RESULT_REJECT, true, -1);
			break;
	}
}

/*
 * A request was broken off because there is no more time.  The gateway may
 * still be at it, so nobody is to send the action again before it has given up.
 */
static void
aborted(void *owner, void *item)
{
	Relay *relay = owner;

	conclude(relay, item, RESULT_NACK, false, relay->settings->request_timeout);
}

/*
 * Send an action; or, if its payload is sealed and cannot be opened, reject it.
 */
static void
send_action(Relay *relay, Action *action)
{
	const char *body = action->body;
	size_t len = action->len;

	BufferClear(&relay->text);
	switch (OpenSealedPayload(relay->keys, body, len, &action->opened, &relay->text))
	{
		case CANNOT_OPEN:
			Log(LOG_WARNING, "action ends dead", LogNumber("outbox_id", action->outbox_id),
				LogText("error", BufferText(&relay->text)));
			conclude(relay, action, RESULT_REJECT, true, -1);
			return;
		case OPENED:
			body = action->opened.data;
			len = action->opened.len;
			break;
		case NOT_SEALED:
			break;
	}
	GatewaySend(relay->gateway, body, len, action);
	PaceSent(&relay->pace);
	counters.sent++;
}

/*
 * Send what may be sent now.
 *
 * An action is not sent if its lease might end before the answer comes: it
 * would be sent twice.  Extending the leases is the other side's task.
 */
void
SendSideAdvance(Relay *relay, int64_t now, int64_t *wake)
{
	Held *held = &relay->held;

	if (relay->stopping || (relay->pace.state != PACE_OPEN && now < relay->pace.resume))
		give_back(relay);
	while (held->first != NULL && relay->results.bytes <= MAX_RESULT_BYTES &&
		   (held->first->lease->lost ||
			(held->first->lease->until - now >= relay->settings->request_timeout &&
			 PaceMaySend(&relay->pace, GatewayInFlight(relay->gateway), now, wake))))
	{
		Action *action = HeldTake(held);

		if (action->lease->lost)
		{
			counters.leases_lost++;
			HeldRelease(held, action);
		}
		else
			send_action(relay, action);
	}
}

/*
 * Read the key files.  False, with an error logged, if one is wrong; then what
 * was read before stays in use.
 */
static bool
read_keys(Relay *relay, Buffer *api_key, Keyring **keys)
{
	const Settings *settings = relay->settings;
	char *error = NULL;
	bool good = true;

	*api_key = (Buffer){0};
	if (settings->api_key_file != NULL)
		good = SecretReadApiKey(settings->api_key_file, api_key, &error);
	*keys = good ? KeyringRead(&settings->payload_key_files, &error) : NULL;
	if (*keys != NULL)
		return true;
	Log(LOG_ERROR, "cannot read a key file", LogText("error", error));
	free(error);
	BufferWipe(api_key);
	return false;
}

/*
 * Read the key files again, and use them.
 */
void
SendSideReload(Relay *relay)
{
	Buffer api_key;
	Keyring *keys;

	if (!read_keys(relay, &api_key, &keys))
		return;
	GatewaySetKey(relay->gateway, &api_key);
	BufferWipe(&api_key);
	KeyringFree(relay->keys);
	relay->keys = keys;
}

/*
 * Get ready to send.  False if the key files are wrong.
 */
bool
SendSideStart(Relay *relay)
{
	const Settings *settings = relay->settings;
	GatewayHandlers handlers = {relay, answered, aborted};
	Buffer api_key;

	if (settings->api_key_file != NULL)
		SecretWarnIfExposed(settings->api_key_file);
	for (int i = 0; i < settings->payload_key_files.count; i++)
		SecretWarnIfExposed(settings->payload_key_files.texts[i]);
	if (!read_keys(relay, &api_key, &relay->keys))
		return false;
	relay->gateway = GatewayOpen(settings, &api_key, handlers);
	BufferWipe(&api_key);
	PaceStart(&relay->pace, settings->concurrency, settings->max_rate, ClockNow());
	return true;
}
