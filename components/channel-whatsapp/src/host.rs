//! What the channel asks of the host, as one trait, and errors in the words of a channel.

openpista_plugin::channel_host!();
openpista_plugin::messenger_faults!();
