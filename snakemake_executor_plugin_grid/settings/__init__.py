"""The options of the plugin, their check, and their form in the journal."""
