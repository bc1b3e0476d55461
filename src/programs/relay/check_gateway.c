/*
 * check_gateway.c
 *		--check: what the gateway says to a dispatch that it does not execute.
 *
 * A dispatch with dry_run is evaluated as any other, with key, role, grant,
 * signature and rules, and executes nothing.  Where replay protection is on it uses
 * up its id, which is made for this and belongs to no action; sending the same once
 * more shows whether it is on.
 */
#include "relay/check_gateway.h"

#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "common/json.h"
#include "common/report.h"
#include "relay/easy.h"

#define DRY_RUN_PATH "/v1/dispatch?dry_run=true"
#define LIST_PATH "/v1/audit?limit=1"
#define HEALTH_PATH "/health"

/*
 * Take what the key is to be tried with: tenant, namespace, provider, action type.
 */
void
TrialTake(Trial *trial, const char *const parts[4])
{
	Buffer *const places[] = {&trial->tenant, &trial->name_space, &trial->provider,
							  &trial->action_type};

	for (int i = 0; i < 4; i++)
	{
		BufferClear(places[i]);
		JsonAppendString(places[i], parts[i], strlen(parts[i]));
	}
	trial->known = true;
}

/*
 * Give it back.
 */
void
TrialFree(Trial *trial)
{
	BufferFree(&trial->tenant);
	BufferFree(&trial->name_space);
	BufferFree(&trial->provider);
	BufferFree(&trial->action_type);
}

/*
 * Write an action that never was, with an id of its own: a random UUID.
 */
static void
write_action(const Trial *trial, Buffer *body)
{
	unsigned char id[16];
	char now[40];
	time_t wall = time(NULL);
	struct tm utc;

	if (RAND_bytes(id, sizeof(id)) != 1)
		memset(id, 0, sizeof(id));
	id[6] = (unsigned char) ((id[6] & 0x0F) | 0x40);
	id[8] = (unsigned char) ((id[8] & 0x3F) | 0x80);
	gmtime_r(&wall, &utc);
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &utc);
	BufferAppendText(body, "{\"id\": \"");
	for (int i = 0; i < 16; i++)
		BufferPrint(body, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
	BufferPrint(body,
				"\", \"namespace\": %s, \"tenant\": %s, \"provider\": %s, \"action_type\": %s, "
				"\"payload\": {}, \"metadata\": {}, \"created_at\": \"%s\"}",
				trial->name_space.data, trial->tenant.data, trial->provider.data,
				trial->action_type.data, now);
}

/*
 * The words of an error, or the beginning of what came instead.
 */
static void
append_words(Buffer *text, const Buffer *answer)
{
	Buffer words = {0};

	if (JsonGetString(BufferText(answer), answer->len, "error", &words))
		AppendCleanText(text, words.data, words.len, 300);
	else
		AppendCleanText(text, BufferText(answer), answer->len, 300);
	BufferFree(&words);
}

/*
 * Report what keeps a try from being answered as it should be.
 */
static void
report_refusal(const Settings *settings, long status, const Buffer *answer)
{
	Buffer why = {0};
	const char *what = "gateway";
	const char *hint = "is --gateway-url the gateway's?";

	BufferPrint(&why, "%s answers %ld: ", settings->gateway_url, status);
	append_words(&why, answer);
	if (status == 401)
	{
		what = "API key";
		hint = "check the key in --api-key-file";
	}
	else if (status == 403)
	{
		what = "API key";
		hint = "the gateway knows the key, but does not let it dispatch this: check its role and "
			   "grants, or name with --check-as what it is for";
	}
	else if (status == 400 && strstr(BufferText(&why), "unsigned") != NULL)
	{
		what = "signing";
		hint =
			"the gateway accepts only signed actions ([signing] reject_unsigned); this relay does "
			"not sign";
	}
	else if (status == 400 || status == 422)
		hint = "the gateway does not accept the actions of this relay: do the versions match?";
	else if (status == 429 || status >= 500)
		hint = "the gateway cannot evaluate anything now: try again";
	ReportBad(what, BufferText(&why), hint);
	BufferFree(&why);
}

/*
 * Try a dispatch, and the same once more.
 */
static void
try_dispatch(const Settings *settings, const Buffer *api_key, const Trial *trial)
{
	Buffer body = {0}, answer = {0}, tag = {0};
	long status;

	write_action(trial, &body);
	status = EasyTry(settings, api_key, DRY_RUN_PATH, body.data, &answer);
	if (status == 200 &&
		(!JsonReadTag(answer.data, answer.len, &tag) || strcmp(BufferText(&tag), "DryRun") != 0))
		ReportBad("gateway", "it answers a dry run with something else",
				  "is --gateway-url the gateway's? What was sent has an empty payload");
	else if (status == 0)
		ReportBad("gateway", BufferText(&answer),
				  "check --gateway-url, and for TLS --ca-file and --client-cert");
	else if (status != 200)
		report_refusal(settings, status, &answer);
	else
	{
		ReportGood("gateway: %s evaluates dispatches", settings->gateway_url);
		ReportGood("API key: works for tenant %s, namespace %s, provider %s, action type %s",
				   trial->tenant.data, trial->name_space.data, trial->provider.data,
				   trial->action_type.data);
		ReportGood("signing: not required");
		status = EasyTry(settings, api_key, DRY_RUN_PATH, body.data, &answer);
		if (status == 409)
			ReportGood("replay protection: on, the gateway accepts each id only once");
		else if (status == 200)
			ReportGood(
				"replay protection: off ([signing] reject_replay), so the gateway does not detect "
				"what is sent twice");
		else
			report_refusal(settings, status, &answer);
	}
	BufferFree(&body);
	BufferFree(&answer);
	BufferFree(&tag);
}

/*
 * Nothing is known that the key could be tried with: see whether somebody is there,
 * and whether the key may read, which not every gateway offers.
 */
static void
try_without(const Settings *settings, const Buffer *api_key)
{
	Buffer answer = {0};
	long status = EasyTry(settings, api_key, HEALTH_PATH, NULL, &answer);

	if (status == 0)
	{
		ReportBad("gateway", BufferText(&answer),
				  "check --gateway-url, and for TLS --ca-file and --client-cert");
		BufferFree(&answer);
		return;
	}
	if (status != 401 && status != 403)
		status = EasyTry(settings, api_key, LIST_PATH, NULL, &answer);
	if (status == 401)
		report_refusal(settings, status, &answer);
	else
	{
		ReportGood("gateway: %s answers", settings->gateway_url);
		ReportGood(
			"API key: %s, but it was not tested with a dispatch, nor were signing and replay "
			"protection: no recent batch names a tenant, namespace, provider and action type; "
			"name them with --check-as",
			status == 200 ? "the gateway knows it" : "not known to be wrong");
	}
	BufferFree(&answer);
}

/*
 * Check the gateway and our key for it.
 */
void
CheckGateway(const Settings *settings, const Buffer *api_key, const Trial *trial)
{
	if (trial->known)
		try_dispatch(settings, api_key, trial);
	else
		try_without(settings, api_key);
}
