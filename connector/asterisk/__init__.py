"""The PBX's door: the telephony port on Asterisk's manager interface (AMI)."""
