"""`connector doctor`: looks at PBX, broker and bridge as the connector uses them, and says what to mend."""
