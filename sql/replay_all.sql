-- acteon_replay_all and acteon_replay_continue: any number of actions, in committed chunks.
CALL clean();
