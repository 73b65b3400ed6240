"""From a call to its result, whatever transport it came by."""
