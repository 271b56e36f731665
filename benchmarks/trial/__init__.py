"""The fair trial: do gradient methods beat tuned weights on click logs? Its protocol is `docs/trial-protocol.md`."""
