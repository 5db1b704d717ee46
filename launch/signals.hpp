// USR1, USR2 and TERM ask a run to save and stop. The handler sets a flag; the ranks agree on it
// before a step.
#pragma once

namespace lockstep {

// Installs the handlers; a second signal only sets the flag again.
void catch_stop_signals();
bool stop_requested();

}  // namespace lockstep
