/*
 * lineage.c
 *		The chain of replays that an action is part of.
 *
 * A replay leads back to its source by its outbox row; an action leads to its
 * replays by their ids, which follow from its own (replay_id.c).  Both ways go
 * through the unique index on the ids of replays (find_action.c).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/grants.h"
#include "access/visibility.h"
#include "audit/signer.h"
#include "base/catalog.h"
#include "base/identity.h"
#include "base/installation.h"
#include "base/table_access.h"
#include "base/replay_id.h"
#include "base/settings.h"
#include "base/target.h"
#include "batch/batch_row.h"
#include "queue/action_state.h"
#include "queue/find_action.h"
#include "query/patch.h"
#include "queue/outbox_row.h"

/* Columns of the result. */
enum
{
	LINEAGE_ID,
	LINEAGE_SOURCE,
	LINEAGE_GENERATION,
	LINEAGE_DEPTH,
	LINEAGE_BATCH_ID,
	LINEAGE_REQUESTED_BY,
	LINEAGE_REQUESTED_AT,
	LINEAGE_REASON,
	LINEAGE_STATE,
	LINEAGE_PATCH, /* not in version 1.0, as what follows */
	LINEAGE_DELIVERED_TO,
	LINEAGE_SIGNER_ID,
	NUM_LINEAGE_COLUMNS
};

/* A walk through a chain. */
typedef struct Walk
{
	ReturnSetInfo *result;
	Snapshot snapshot;
	Oid caller;
	Oid schema;
	Grants *grants;
	pg_uuid_t namespace;
	List *targets; /* names of the others whose replays to show as well */
	ActionFinder actions;
	TableFinder batches;
	StateReader states;
	const char *root;
	bool root_shown;
	text *family_namespace; /* whose replays to follow; NULL: anybody's */
	text *family_tenant;
} Walk;

PG_FUNCTION_INFO_V1(acteon_replay_lineage);

/*
 * A text column of the outbox row that was found last.
 */
static text *
outbox_text(Walk *walk, AttrNumber column)
{
	bool isnull;

	return DatumGetTextPCopy(FoundColumn(&walk->actions.outbox, column, &isnull));
}

/*
 * Find the row of a replay.
 */
static bool
find_replay(Walk *walk, const pg_uuid_t *id)
{
	return FindAction(&walk->actions, id, walk->snapshot) == ACTION_FOUND;
}

/*
 * Whether the replay that was found last is of the chain's namespace and tenant;
 * the first one decides which those are.  Another tenant may use the same
 * action id.
 */
static bool
join_family(Walk *walk)
{
	if (walk->family_tenant == NULL)
	{
		walk->family_namespace = outbox_text(walk, Anum_outbox_namespace);
		walk->family_tenant = outbox_text(walk, Anum_outbox_tenant);
	}
	return OutboxRowIsOf(walk->actions.outbox.slot, walk->family_namespace, walk->family_tenant);
}

/*
 * Have the replays to the target of the replay that was found last shown as well: of an
 * action that is asked for, and of what it replays.
 */
static void
add_own_target(Walk *walk)
{
	ListCell *lc;
	bool isnull;
	Datum value = FoundColumn(&walk->actions.outbox, Anum_outbox_target, &isnull);
	char *target;

	if (isnull)
		return;
	target = TextDatumGetCString(value);
	foreach (lc, walk->targets)
	{
		if (strcmp(lfirst(lc), target) == 0)
			return;
	}
	walk->targets = lappend(walk->targets, target);
}

/*
 * Follow an action back to the one that was no replay.
 */
static char *
find_root(Walk *walk, char *action_id)
{
	pg_uuid_t id;

	while (TextToUuid(action_id, strlen(action_id), &id) && find_replay(walk, &id))
	{
		CHECK_FOR_INTERRUPTS();
		if (!join_family(walk))
			break;
		add_own_target(walk);
		action_id = text_to_cstring(outbox_text(walk, Anum_outbox_original_action_id));
	}
	return action_id;
}

/*
 * Whether the replay that was found last may be shown: a grant of the caller
 * must cover it, and it must be of the chain's own tenant.
 */
static bool
may_show(Walk *walk)
{
	GrantTarget target = {.tenant = outbox_text(walk, Anum_outbox_tenant),
						  .namespace = outbox_text(walk, Anum_outbox_namespace),
						  .provider = outbox_text(walk, Anum_outbox_provider),
						  .action_type = outbox_text(walk, Anum_outbox_action_type)};

	if (walk->family_tenant != NULL && !join_family(walk))
		return false;
	return GrantsCover(walk->grants, GRANT_READ, &target);
}

/*
 * Whether the caller may read the batch that was found last: the rule of the
 * policy acteon_replay_batch_authorized.  The caller has asked for it, or a
 * grant covers each element of its scope.
 */
static bool
may_show_batch(Walk *walk)
{
	bool isnull;
	Oid requester =
		DatumGetObjectId(FoundColumn(&walk->batches, Anum_batch_requested_by_oid, &isnull));
	Jsonb *scope = DatumGetJsonbP(FoundColumn(&walk->batches, Anum_batch_scope, &isnull));

	return requester == walk->caller || GrantsCoverScope(walk->grants, GRANT_READ, scope);
}

/*
 * Set who has signed an action of the same namespace and tenant as the replay that was
 * found last, if that is known.
 */
static void
set_signer(Walk *walk, const char *id, Datum *values, bool *nulls)
{
	char *signer = FindSigner(walk->schema, id, outbox_text(walk, Anum_outbox_namespace),
							  outbox_text(walk, Anum_outbox_tenant), walk->grants);

	nulls[LINEAGE_SIGNER_ID] = signer == NULL;
	if (signer != NULL)
		values[LINEAGE_SIGNER_ID] = CStringGetTextDatum(signer);
}

/*
 * Put out the action at the beginning of the chain, before its first replay.
 */
static void
show_root(Walk *walk)
{
	Datum values[NUM_LINEAGE_COLUMNS] = {0};
	bool nulls[NUM_LINEAGE_COLUMNS];

	if (walk->root_shown)
		return;
	walk->root_shown = true;
	memset(nulls, true, sizeof(nulls));
	nulls[LINEAGE_ID] = nulls[LINEAGE_GENERATION] = false;
	nulls[LINEAGE_DEPTH] = nulls[LINEAGE_STATE] = false;
	values[LINEAGE_ID] = CStringGetTextDatum(walk->root);
	values[LINEAGE_GENERATION] = Int32GetDatum(0);
	values[LINEAGE_DEPTH] = Int32GetDatum(0);
	values[LINEAGE_STATE] = CStringGetTextDatum("original");
	set_signer(walk, walk->root, values, nulls);
	tuplestore_putvalues(walk->result->setResult, walk->result->setDesc, values, nulls);
}

/*
 * The hash of the patch that has changed the payload of the replay that was found last,
 * by its batch, which was found last, too; NULL if none has.
 */
static char *
patch_hash(Walk *walk)
{
	bool isnull;
	Jsonb *query = DatumGetJsonbP(FoundColumn(&walk->batches, Anum_batch_query, &isnull));
	Datum patches = FoundColumn(&walk->batches, Anum_batch_patches, &isnull);
	List *stored = StoredPatches(query, isnull ? NULL : DatumGetJsonbP(patches));
	Jsonb *labels = DatumGetJsonbP(FoundColumn(&walk->actions.outbox, Anum_outbox_labels, &isnull));
	JsonbValue label;
	ListCell *lc;

	if (stored == NIL || getKeyJsonValueFromContainer(&labels->root, PATCH_LABEL,
													  strlen(PATCH_LABEL), &label) == NULL)
		return NULL;
	foreach (lc, stored)
	{
		char *hash = PatchHash(lfirst(lc));

		if (label.type == jbvString && label.val.string.len == PATCH_LABEL_DIGITS &&
			memcmp(label.val.string.val, hash, PATCH_LABEL_DIGITS) == 0)
			return hash;
	}
	return NULL;
}

/*
 * Put out the replay that was found last.
 */
static void
show_replay(Walk *walk, const char *id, const char *source, const char *target, int depth)
{
	Datum values[NUM_LINEAGE_COLUMNS] = {0};
	bool nulls[NUM_LINEAGE_COLUMNS] = {false};
	bool isnull;
	int64 outbox_id = DatumGetInt64(FoundColumn(&walk->actions.outbox, Anum_outbox_id, &isnull));
	bool has_batch;

	show_root(walk);
	values[LINEAGE_ID] = CStringGetTextDatum(id);
	values[LINEAGE_SOURCE] = CStringGetTextDatum(source);
	values[LINEAGE_GENERATION] =
		FoundColumn(&walk->actions.outbox, Anum_outbox_generation, &isnull);
	values[LINEAGE_DEPTH] = Int32GetDatum(depth);
	values[LINEAGE_BATCH_ID] = FoundColumn(&walk->actions.outbox, Anum_outbox_batch_id, &isnull);
	values[LINEAGE_STATE] = CStringGetTextDatum(
		ActionStateNames[ReadActionState(&walk->states, outbox_id, walk->snapshot)]);
	values[LINEAGE_DELIVERED_TO] = CStringGetTextDatum(NameOfTarget(target));
	set_signer(walk, id, values, nulls);
	has_batch = FindRow(&walk->batches, F_INT8EQ, values[LINEAGE_BATCH_ID], walk->snapshot);
	nulls[LINEAGE_REQUESTED_AT] = !has_batch;
	nulls[LINEAGE_REQUESTED_BY] = nulls[LINEAGE_REASON] = nulls[LINEAGE_PATCH] = true;
	if (has_batch)
		values[LINEAGE_REQUESTED_AT] = FoundColumn(&walk->batches, Anum_batch_created_at, &isnull);
	if (has_batch && may_show_batch(walk))
	{
		char *hash = patch_hash(walk);

		nulls[LINEAGE_REQUESTED_BY] = false;
		values[LINEAGE_REQUESTED_BY] =
			FoundColumn(&walk->batches, Anum_batch_requested_by, &isnull);
		values[LINEAGE_REASON] =
			FoundColumn(&walk->batches, Anum_batch_reason, &nulls[LINEAGE_REASON]);
		nulls[LINEAGE_PATCH] = hash == NULL;
		if (hash != NULL)
			values[LINEAGE_PATCH] = CStringGetTextDatum(hash);
	}
	tuplestore_putvalues(walk->result->setResult, walk->result->setDesc, values, nulls);
}

static void show_replays_of(Walk *walk, const char *source, int depth);

/*
 * Put out the replays of an action to a target (NULL: production), each with its own
 * replays behind it.
 */
static void
show_replays_to(Walk *walk, const char *source, const char *target, int depth)
{
	for (int generation = 1;; generation++)
	{
		pg_uuid_t id;
		char text[UUID_TEXT_LEN + 1] = {0};
		ActionFound found;

		CHECK_FOR_INTERRUPTS();
		ReplayId(&id, &walk->namespace, source, strlen(source), target, generation);
		found = FindAction(&walk->actions, &id, walk->snapshot);
		if (found == ACTION_UNUSED)
			return;
		if (found == ACTION_PURGED)
			continue;
		UuidToText(text, &id);
		if (may_show(walk))
			show_replay(walk, text, source, target, depth);
		show_replays_of(walk, text, depth + 1);
	}
}

/*
 * Put out the replays of an action to all targets that are to be shown.
 */
static void
show_replays_of(Walk *walk, const char *source, int depth)
{
	ListCell *lc;

	check_stack_depth();
	show_replays_to(walk, source, NULL, depth);
	foreach (lc, walk->targets)
		show_replays_to(walk, source, lfirst(lc), depth);
}

/*
 * Read which targets are to be shown besides production; version 1.0 has no argument.
 */
static void
read_targets(Walk *walk, FunctionCallInfo fcinfo)
{
	const char *target;

	if (PG_NARGS() < 2 || PG_ARGISNULL(1))
	{
		walk->targets = ListedTargets(AllowedTargets);
		return;
	}
	target = CheckTarget(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (target != NULL)
		walk->targets = list_make1(unconstify(char *, target));
}

/*
 * acteon_replay_lineage(action_id text, target text) → setof (id, source, generation,
 * depth, batch_id, requested_by, requested_at, reason, state, patch_sha256, delivered_to,
 * signer_id)
 *
 * The whole chain that an action is part of, the original first, every replay
 * behind its source: the replays to production, and those to another target, or, with
 * NULL, to all that acteon_replay.targets lists; those to its own target in any case.
 * Shows what the caller's grants cover; shows nothing for an action that was never
 * replayed.  Raises invalid_parameter_value.
 */
Datum
acteon_replay_lineage(PG_FUNCTION_ARGS)
{
	Oid schema = CalledSchema(fcinfo);
	Walk walk = {0};
	Identity saved;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	read_targets(&walk, fcinfo);
	if (!ReadNamespace(schema, &walk.namespace))
		return (Datum) 0;
	walk.result = (ReturnSetInfo *) fcinfo->resultinfo;
	walk.snapshot = GetActiveSnapshot();
	walk.caller = GetUserId();
	walk.schema = schema;
	walk.grants = LoadGrants(walk.caller, schema);
	SwitchIdentity(&saved, TableOwner(OwnTable(schema, OUTBOX_TABLE)));
	OpenActions(&walk.actions, schema);
	OpenFinder(&walk.batches, OwnTable(schema, BATCH_TABLE), Anum_batch_id);
	InitStateReader(&walk.states, schema);

	walk.root = find_root(&walk, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	show_replays_of(&walk, walk.root, 1);

	CloseStateReader(&walk.states);
	CloseFinder(&walk.batches);
	CloseActions(&walk.actions);
	RestoreIdentity(&saved);
	return (Datum) 0;
}
