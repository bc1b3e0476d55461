---------------------------- MODULE ActionTrace ----------------------------
(***************************************************************************)
(* Whether what became of real actions is a behaviour of ActionReplay: the *)
(* lines of acteon_replay.trace_actions, which test/model/run.py makes     *)
(* into the module TraceData.  A trace has the steps of the database only, *)
(* in their order; what relays, gateway and records do between them is for *)
(* TLC to find.  A trace is accepted if some behaviour has all its steps,  *)
(* and each state of it satisfies the invariants of ActionReplay.          *)
(***************************************************************************)
EXTENDS ActionReplay, Sequences, TraceData

VARIABLES
    which, \* the trace
    next   \* the step of it that comes next

ASSUME TLCSet(1, {})

IsAccepted == next > Len(Traces[which])

\* Whether a row has become what a step says of it.
Shows(row, step) ==
    /\ row.at = step.at /\ row.resend = step.resend /\ row.unproven = step.unproven
    /\ IF step.at = "ended"
       THEN row.end = [state |-> step.state, effect |-> step.effect, by |-> step.by]
       ELSE row.attempt = step.attempt /\ row.refused = step.refused /\ row.held = step.held

\* What a call can do.
ByCall(call) ==
    CASE call = "enqueue" -> Replaying
      [] call = "claim" -> Claiming
      [] call = "ack" -> Acking
      [] call = "nack" -> Nacking
      [] call = "reject" -> Rejecting
      [] call = "doubt" -> Doubting
      [] call = "redrive" -> Redriving
      [] call = "failover" -> Failover
      [] OTHER -> Claiming \/ Settling

TraceInit == Init /\ which \in 1..Len(Traces) /\ next = 1

TraceNext ==
    /\ ~IsAccepted
    /\ UNCHANGED which
    /\ LET step == Traces[which][next]
       IN \/ /\ \/ ByCall(step.call)
                \* A look that has found nothing, of which a standby did not know the one before.
                \/ step.call = "claim" /\ step.at = "doubt" /\ UNCHANGED vars
             /\ IF step.call = "failover" THEN TRUE ELSE Shows(db'[step.row], step)
             /\ next' = next + 1
          \/ Hidden /\ UNCHANGED next

\* A trace that was accepted is said once, and not searched any further.
Unaccepted ==
    /\ which \notin TLCGet(1)
    /\ IsAccepted => PrintT(<<"accepted", which>>) /\ TLCSet(1, TLCGet(1) \cup {which})

=============================================================================
